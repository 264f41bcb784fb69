//! The end of a file that somebody wrote before: mended, and read for the events that stand there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use identree_core::id::EventId;
use serde::Deserialize;

use super::recent::Recent;

/// How much of the end is read: many times what is offered at once.
const READ: u64 = 4 * 1024 * 1024;

/// How each line of ours begins.
const BEGINNING: &[u8] = b"{\"seq\":";

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    id: EventId,
}

/// Makes the file end with a whole line. Of a line that a crash left unfinished nothing was confirmed: it is cut off. What is not ours is
/// ended instead, never removed.
pub(super) fn mend(file: &File) -> io::Result<()> {
    let (from, end) = read(file)?;
    let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let rest = &end[whole..];
    if rest.is_empty() {
        return Ok(());
    }
    let begun = rest.starts_with(BEGINNING) || BEGINNING.starts_with(rest);
    // A power cut may leave the length of the file without its bytes.
    let empty = rest.iter().all(|byte| *byte == 0);
    if serde_json::from_slice::<Line>(rest).is_err() && (begun || empty) {
        return file.set_len(from + whole as u64);
    }
    // The file is open for appending: that is where this goes.
    io::Write::write_all(&mut &*file, b"\n")
}

/// Notes the events that stand at the end.
pub(super) fn note(file: &File, recent: &mut Recent) -> io::Result<()> {
    let (_, end) = read(file)?;
    for line in end.split(|byte| *byte == b'\n').filter(|line| line.starts_with(BEGINNING)) {
        if let Ok(Line { seq, id }) = serde_json::from_slice(line) {
            recent.note(seq, id);
        }
    }
    Ok(())
}

/// The end of the file, and where it begins.
fn read(file: &File) -> io::Result<(u64, Vec<u8>)> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(READ);
    let mut end = vec![0; usize::try_from(length - from).unwrap_or_default()];
    file.read_exact_at(&mut end, from)?;
    Ok((from, end))
}
