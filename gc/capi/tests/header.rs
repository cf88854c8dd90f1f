//! The header that is checked in is the one that cbindgen makes of the crate. `PALIMPSEST_WRITE_HEADER=1` writes it anew.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_crate() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = package.join("include/palimpsest.h");
    let config = cbindgen::Config::from_file(package.join("cbindgen.toml")).expect("cbindgen.toml is read");
    let mut header = Vec::new();
    cbindgen::generate_with_config(package, config).expect("the crate is read").write(&mut header);
    let header = String::from_utf8(header).expect("a header is text");
    if std::env::var_os("PALIMPSEST_WRITE_HEADER").is_some() {
        std::fs::write(&file, &header).expect("the header is written");
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = header.lines().zip(checked_in.lines()).position(|(made, there)| made != there);
    assert!(
        header == checked_in,
        "{} is not what the crate says, from line {} on; run this test with PALIMPSEST_WRITE_HEADER=1",
        file.display(),
        differs.unwrap_or(checked_in.lines().count()) + 1
    );
}
