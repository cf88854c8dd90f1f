//! The page in a browser, where there is one: that it is rendered whole, and that no picture is wider than a window of a usual size.

mod support;

use palimpsest_report::draw::{page, pictures};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

/// Opens a file in a window, and gives the document as it is after scripts and styles, or takes a picture.
fn open(browser: &Path, file: &Path, profile: &str, extra: &[String]) -> Option<String> {
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(profile);
    if let Err(error) = fs::remove_dir_all(&profile) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}: {error}", profile.display());
    }
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args(["--disable-component-update", "--disable-sync", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(extra)
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("the browser that was found");
    if !output.status.success() {
        println!("skipped: the browser ended with {}", output.status);
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_browser_shows_all_of_it() {
    let Some(browser) = browser() else {
        println!("skipped: no browser here");
        return;
    };
    let results = support::full();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("report.html");
    // A line of script asks the browser itself where it has put every text; the page has none of its own.
    let asking = "<script>addEventListener('load',()=>{const out=[];\
        document.querySelectorAll('details').forEach(fold=>fold.open=true);\
        document.querySelectorAll('svg').forEach(svg=>{const all=svg.getBoundingClientRect();\
        const texts=[...svg.querySelectorAll('text')].map(text=>[text.textContent,text.getBoundingClientRect()]);\
        texts.forEach(([one,a],i)=>{if(a.width<1||a.left<all.left||a.right>all.right||a.top<all.top||a.bottom>all.bottom)\
        out.push('outside: '+one);\
        texts.slice(0,i).forEach(([other,b])=>{if(a.left<b.right&&b.left<a.right&&a.top+3<b.bottom-3&&b.top+3<a.bottom-3)\
        out.push('overlap: '+one+' | '+other)})})});\
        document.title='pictures='+document.querySelectorAll('svg').length+' faults='+out.length+' '+out.slice(0,20).join('; ')})</script>";
    fs::write(&file, page(&results).unwrap()).unwrap();
    let asked = folder.join("asked.html");
    fs::write(&asked, page(&results).unwrap().replace("</body>", &format!("{asking}</body>"))).unwrap();
    let Some(document) =
        open(&browser, &asked, "profile", &["--dump-dom".into(), "--window-size=1200,900".into()])
    else {
        return;
    };
    let title =
        document.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).expect("a title");
    let expected = format!("pictures={} faults=0", pictures(&results).unwrap().len());
    assert_eq!(title.trim(), expected);
}
