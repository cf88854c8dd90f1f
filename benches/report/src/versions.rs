//! Which versions of the peers and of the compilers, and which commit.

use serde::Deserialize;
use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Names and versions, as far as they can be found out.
pub fn versions(root: &Path) -> Vec<(String, String)> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let found = [
        ("rustc", first_line(&rustc, &["--version"], root)),
        ("cc", first_line(&cc, &["--version"], root)),
        ("malloc", Some(libc_version())),
        ("mimalloc", mimalloc(root)),
        ("bdwgc", first_line("pkg-config", &["--modversion", "bdw-gc"], root)),
    ];
    found.into_iter().filter_map(|(name, version)| Some((name.to_owned(), version?))).collect()
}

/// The commit of the checkout, with `+` where it has changes; empty where it is not known.
pub fn commit(root: &Path) -> String {
    let Some(commit) = first_line("git", &["rev-parse", "--short=12", "HEAD"], root) else {
        return String::new();
    };
    let changed = first_line("git", &["status", "--porcelain", "--untracked-files=no"], root).is_some();
    format!("{commit}{}", if changed { "+" } else { "" })
}

/// What a command says, if it can be run and says something.
fn first_line(program: &str, arguments: &[&str], root: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next()?.trim().to_owned()).filter(|line| !line.is_empty())
}

/// The C library that the report itself runs with, which is that of the peers.
fn libc_version() -> String {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: returns a constant string.
        let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
        format!("glibc {}", version.to_string_lossy())
    }
    #[cfg(not(target_env = "gnu"))]
    {
        "of another C library than glibc".into()
    }
}

/// mimalloc comes with a crate, whose version the lock file has.
fn mimalloc(root: &Path) -> Option<String> {
    let lock: Lock = toml::from_str(&fs::read_to_string(root.join("Cargo.lock")).ok()?).ok()?;
    let package = lock.package.into_iter().find(|package| package.name == "libmimalloc-sys")?;
    Some(format!("that of libmimalloc-sys {}", package.version))
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_and_allocators_have_versions() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let versions = versions(root);
        for name in ["rustc", "malloc", "mimalloc"] {
            assert!(
                versions.iter().any(|(known, version)| known == name && version.contains(char::is_numeric)),
                "{name}"
            );
        }
    }

    #[test]
    fn outside_of_a_checkout_there_is_no_commit() {
        assert_eq!(commit(Path::new("/proc/self")), "");
        assert_eq!(first_line("/nonexistent", &[], Path::new("/")), None);
    }
}
