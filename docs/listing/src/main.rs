//! Makes the listings of the public interface and the code blocks of the guide anew, and says which have changed.

use palimpsest_listing::{Error, make, repository};
use std::process::ExitCode;

fn run() -> Result<(), Error> {
    let root = repository();
    for made in make(&root)? {
        let path = root.join(&made.path);
        // A file that is not there yet differs from any.
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&made.text) {
            std::fs::write(&path, &made.text).map_err(|why| Error::Read { file: path.clone(), why })?;
            println!("{}", made.path.display());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
