//! How the page looks.

/// Beside the colours of the pictures.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0 auto;max-width:74rem;padding:0 1rem 4rem;font:1rem/1.5 system-ui,'Helvetica Neue',Arial,sans-serif;\
background:#fff;color:#1b1f24}\
header,nav,#circumstances{max-width:60rem}h1{font-size:1.7rem;margin:1.5rem 0 .3rem}h2{font-size:1.3rem;margin:2.5rem 0 .5rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}\
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:1rem 0;list-style:none}\
a{color:#0060a0}\
figure{margin:2.5rem 0}figcaption{color:#4d5661;max-width:46rem;margin-top:.3rem}\
.wide{overflow-x:auto}.wide svg{display:block;min-width:46rem;max-width:60rem;width:100%;height:auto}\
dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.1rem 1rem;margin:.3rem 0}\
dt{color:#4d5661}dd{margin:0;overflow-wrap:anywhere}\
.warnings{border-left:4px solid #d55e00;background:#fdf1e8;padding:.2rem 1rem .6rem;margin-bottom:1rem}.warnings ul{margin:.2rem 0}\
summary{cursor:pointer;margin:1rem 0}\
table{border-collapse:collapse;font-size:.8rem;font-variant-numeric:tabular-nums;width:100%}\
caption{text-align:left;font-weight:bold;font-size:1rem;padding:1.5rem 0 .3rem}\
th,td{padding:.2rem .4rem;text-align:right;white-space:nowrap;border-bottom:1px solid #d9dee4}\
th{font-weight:normal;color:#4d5661}th:first-child{text-align:left;position:sticky;left:0;background:#fff}\
tbody th{color:inherit}tr.ours>*{font-weight:bold}\
@media(prefers-color-scheme:dark){\
body,th:first-child{background:#15181c;color:#e8eaed}a{color:#7fb8f0}figcaption,dt,th{color:#aab2bb}\
.warnings{background:#2b1d12;border-color:#f07b26}th,td{border-color:#333a42}}";
