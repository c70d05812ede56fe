//! Lines of a file, none of which fills the memory.

use std::io::{self, BufRead, Read};

use super::MAX_LINE_BYTES;

/// Lines one by one.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
}

/// A line with its end.
pub(crate) enum Line<'a> {
    Whole(&'a [u8]),
    /// Longer than [`MAX_LINE_BYTES`]; the reader stands behind its beginning.
    TooLong,
}

impl Lines {
    pub(crate) fn new(reader: Box<dyn BufRead>) -> Self {
        Self { reader, line: Vec::new(), number: 0 }
    }

    /// Number of the line that was read last, or tried, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, if there is one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.number += 1;
        self.line.clear();
        let n_bytes = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut self.line)?;
        Ok(match n_bytes {
            0 => None,
            _ if n_bytes > MAX_LINE_BYTES => Some(Line::TooLong),
            _ => Some(Line::Whole(&self.line)),
        })
    }

    /// Passes over the rest of a line that was too long.
    pub(crate) fn skip_rest(&mut self) -> io::Result<()> {
        match self.line.last() {
            Some(b'\n') => Ok(()),
            _ => self.reader.skip_until(b'\n').map(drop),
        }
    }
}
