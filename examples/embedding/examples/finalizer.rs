//! Values in an arena are dropped, like any in Rust: on the arena's thread, some time after nobody can reach them any more, and at the
//! latest with the arena. Here each value owns a file that is removed with it.
//!
//! `cargo run --example finalizer`

use palimpsest_safe::{Arena, Gc, Rootable, Trace};
use std::cell::RefCell;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// A file that is removed when this is dropped. A type with a `Drop` of its own holds no pointers into an arena, since what they lead
/// to may be gone by then; so it does not derive `Trace`.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("it was there");
    }
}

/// A message in a file, and the one that it answers. The derive gives it no `Drop`; its fields have theirs.
#[derive(Trace)]
struct Message<'gc> {
    // Not traced: the type is `'static`, and so holds no pointers.
    #[trace(skip)]
    file: Temporary,
    answers: Option<Gc<'gc, Message<'gc>>>,
}

impl<'gc> Message<'gc> {
    fn new(folder: &Path, number: u32, answers: Option<Gc<'gc, Message<'gc>>>) -> Self {
        let path = folder.join(format!("message-{number}"));
        fs::write(&path, format!("message {number}")).expect("a file in a temporary folder");
        Self { file: Temporary(path), answers }
    }
}

type Messages<'gc> = RefCell<Vec<Gc<'gc, Message<'gc>>>>;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("palimpsest-finalizer-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let files = || fs::read_dir(&folder).map(Iterator::count);

    let mut arena = Arena::<Rootable![Messages<'_>]>::new(|_| RefCell::default())?;
    arena.mutate(|mc, messages| {
        for number in 0..10 {
            let answered = messages.borrow().last().copied();
            messages.borrow_mut().push(Gc::new(mc, Message::new(&folder, number, answered)));
        }
    });
    assert_eq!(files()?, 10);

    // The fifth message is kept, and with it the four that it answers, directly or not.
    arena.mutate(|_, messages| {
        let mut messages = messages.borrow_mut();
        *messages = vec![messages[4]];
    });
    // Finds the others unreachable, and drops them.
    arena.collect();
    println!("{} files are left of 10", files()?);
    assert_eq!(files()?, 5);

    let mut read = Vec::new();
    arena.mutate(|_, messages| {
        let mut at = messages.borrow().first().copied();
        while let Some(message) = at {
            read.push(fs::read_to_string(&message.file.0));
            at = message.answers;
        }
    });
    let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(read, ["message 4", "message 3", "message 2", "message 1", "message 0"]);

    // What is left is dropped with the arena.
    drop(arena);
    assert_eq!(files()?, 0);
    println!("and none without the arena");
    fs::remove_dir(&folder)?;
    Ok(())
}
