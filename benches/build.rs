//! Compiles the C side of the bench `interfaces`.

fn main() {
    println!("cargo::rerun-if-changed=benches/support/trees.c");
    println!("cargo::rerun-if-changed=../gc/capi/include/palimpsest.h");
    cc::Build::new()
        .file("benches/support/trees.c")
        .include("../gc/capi/include")
        .std("c11")
        .opt_level(2)
        .compile("trees");
}
