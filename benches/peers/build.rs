//! Compiles the workloads in C once for each peer, and links each into the binary of its name.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What all peers have.
const COMMON: [&str; 14] = [
    "main.c",
    "report.c",
    "latency.c",
    "room.c",
    "threads.c",
    "gcbench.c",
    "binarytrees.c",
    "msgmap.c",
    "graph.c",
    "larson.c",
    "churn.c",
    "server/server.c",
    "server/session.c",
    "server/request.c",
];

fn main() {
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=build.rs");
    peer("malloc", "manual.c", &[]);
    let mimalloc = env::var_os("DEP_MIMALLOC_INCLUDE_DIR").expect("libmimalloc-sys says where its header is");
    peer("mimalloc", "manual.c", &[mimalloc.into()]);
    peer("bump", "bump.c", &[]);
    bdwgc();
}

/// The collector of the distribution, if it is there. If not, the program says so, and what to do.
fn bdwgc() {
    let Ok(library) = pkg_config::Config::new().cargo_metadata(false).atleast_version("8.0").probe("bdw-gc")
    else {
        return compile("bdwgc", cc::Build::new().file("c/heap/missing.c"));
    };
    peer("bdwgc", "bdwgc.c", &library.include_paths);
    for path in library.link_paths {
        println!("cargo::rustc-link-arg-bin=peer-bdwgc=-L{}", path.display());
    }
    for name in library.libs {
        println!("cargo::rustc-link-arg-bin=peer-bdwgc=-l{name}");
    }
}

/// Compiles all for this allocator, whose header and source are in `heap`.
fn peer(name: &str, source: &str, include: &[PathBuf]) {
    let mut build = cc::Build::new();
    build.files(COMMON.map(|file| Path::new("c").join(file))).file(Path::new("c/heap").join(source));
    build.include("c").includes(include).define("PEER_HEAP", &*format!("\"heap/{name}.h\""));
    compile(name, &mut build);
}

/// Makes a library, and links it into one binary only: all of them have the same names.
fn compile(name: &str, build: &mut cc::Build) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where")).join(name);
    fs::create_dir_all(&out).expect("a folder for objects");
    build.std("gnu11").opt_level(3).flag("-pthread").warnings(true).extra_warnings(true);
    build.cargo_metadata(false).out_dir(&out).compile(name);
    println!("cargo::rustc-link-arg-bin=peer-{name}={}", out.join(format!("lib{name}.a")).display());
}
