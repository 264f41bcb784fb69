//! The file of all checkpoints: signed notes, an empty line after each.

use std::io::{BufRead, Read as _};

/// The longest note that is read, in bytes: ours has some 250, and each witness adds a line.
const LONGEST: u64 = 64 * 1024;

/// What was read is no file of checkpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotesError {
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[from] std::io::Error),
    /// It ends within a note.
    #[error("ends in the middle of checkpoint {0}")]
    Cut(u64),
    /// A note is none.
    #[error("checkpoint {0} is no signed note")]
    Form(u64),
}

/// Reads notes one by one; each is told as it stands, without its empty line.
#[derive(Debug)]
pub struct Notes<R> {
    from: R,
    read: u64,
    done: bool,
}

impl<R: BufRead> Notes<R> {
    /// From the beginning of a file.
    pub const fn new(from: R) -> Self {
        Self { from, read: 0, done: false }
    }

    fn note(&mut self) -> Result<Option<String>, NotesError> {
        let (mut note, mut empty) = (Vec::new(), 0);
        loop {
            let left = LONGEST.saturating_sub(note.len() as u64);
            let line = self.from.by_ref().take(left).read_until(b'\n', &mut note)?;
            if line == 0 && note.is_empty() {
                return Ok(None);
            }
            if note.len() as u64 == LONGEST {
                return Err(NotesError::Form(self.read));
            }
            if line == 0 || note.last() != Some(&b'\n') {
                return Err(NotesError::Cut(self.read));
            }
            // The first empty line stands before the signatures, the second after them.
            empty += u8::from(line == 1);
            if empty == 2 {
                note.pop();
                return String::from_utf8(note).map(Some).map_err(|_| NotesError::Form(self.read));
            }
        }
    }
}

impl<R: BufRead> Iterator for Notes<R> {
    type Item = Result<String, NotesError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let note = self.note().transpose();
        self.done = !matches!(note, Some(Ok(_)));
        self.read += 1;
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_told_one_by_one_and_a_cut_is_seen() {
        let text = "a\n1\n\nsig\n\nb\n2\n\nsig\nwitness\n\n";
        let read =
            |text: &str| Notes::new(text.as_bytes()).map(|note| note.map_err(|e| e.to_string())).collect::<Vec<_>>();
        assert_eq!(read(text), [Ok("a\n1\n\nsig\n".to_owned()), Ok("b\n2\n\nsig\nwitness\n".to_owned())]);
        assert_eq!(read(""), []);
        for end in 11..text.len() {
            assert_eq!(read(&text[..end])[1], Err("ends in the middle of checkpoint 1".to_owned()), "{end}");
        }
        assert_eq!(read(&"x".repeat(70_000)), [Err("checkpoint 0 is no signed note".to_owned())]);
    }
}
