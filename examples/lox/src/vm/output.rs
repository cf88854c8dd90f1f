//! What a program prints: collected, and written in large pieces, or line by line where someone is watching.

use std::io::{self, IsTerminal as _, Write};

use crate::heap::LoxHeap;
use crate::object::write_value;
use crate::value::Value;

const PIECE: usize = 64 * 1024;

/// Buffered output, to standard output by default.
pub struct Output {
    buffer: Vec<u8>,
    to: Box<dyn Write>,
    /// Write every line at once.
    is_watched: bool,
}

impl Output {
    pub fn new() -> Output {
        Output { buffer: Vec::new(), to: Box::new(io::stdout()), is_watched: io::stdout().is_terminal() }
    }

    /// Output to somewhere else.
    pub fn to(to: Box<dyn Write>) -> Output {
        Output { buffer: Vec::new(), to, is_watched: false }
    }

    /// Prints `value` and a line feed. The value need not be rooted: it has been copied before anything waits.
    pub fn print(&mut self, value: Value, heap: &mut LoxHeap) -> io::Result<()> {
        write_value(&mut self.buffer, value);
        self.buffer.push(b'\n');
        if self.is_watched || self.buffer.len() >= PIECE { self.flush(heap) } else { Ok(()) }
    }

    /// Writes what has been collected. A safepoint, since whoever reads the output may be slow.
    pub fn flush(&mut self, heap: &mut LoxHeap) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let to = &mut self.to;
        let written = heap.blocking(|| to.write_all(&buffer).and_then(|()| to.flush()));
        // Keep the memory, unless it once took something huge.
        if buffer.capacity() <= 4 * PIECE {
            self.buffer = buffer;
            self.buffer.clear();
        }
        written
    }
}
