//! Every file that was not read on the way: older partial ones, what goes beyond what is signed, and what is no part of a copy.

use std::path::Path;

use super::source::{Source, place};
use super::{Finding, Findings, ReadError};
use crate::audit::copy::{CHECKPOINT, CHECKPOINTS, ERASURES, KEY, Piece, Place};
use crate::store::TILE;

/// Folders within each other that a copy has at most.
const DEEPEST: u8 = 12;

/// Looks at all files of a copy of a log of this size.
pub(super) fn look(source: &Source, size: u64, findings: &mut Findings) -> Result<(), ReadError> {
    let mut look = Look { source, size, findings, beyond: false };
    look.folder(source.dir(), "", 0)
}

struct Look<'a> {
    source: &'a Source,
    size: u64,
    findings: &'a mut Findings,
    beyond: bool,
}

impl Look<'_> {
    fn folder(&mut self, folder: &Path, name: &str, depth: u8) -> Result<(), ReadError> {
        let failed = |source| ReadError { path: folder.to_owned(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            names.push((entry.file_name().to_string_lossy().into_owned(), is_folder));
        }
        names.sort();
        for (file, is_folder) in names {
            let path = if name.is_empty() { file.clone() } else { format!("{name}/{file}") };
            if is_folder && depth < DEEPEST {
                self.folder(&folder.join(file), &path, depth + 1)?;
            } else {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<(), ReadError> {
        let Some(found) = Place::parse(path) else {
            if ![CHECKPOINT, CHECKPOINTS, KEY, ERASURES].contains(&path) {
                let shown = crate::text::visible(path).chars().take(200).collect();
                self.findings.push(Finding::Stray(shown));
            }
            return Ok(());
        };
        let level = if let Piece::Tile(level) = found.piece { level } else { 0 };
        let there = TILE.checked_pow(u32::from(level)).map_or(0, |leaves| self.size / leaves);
        let end = found.number.saturating_mul(TILE).saturating_add(u64::from(found.width));
        if end > there {
            if !std::mem::replace(&mut self.beyond, true) {
                self.findings.push(Finding::Beyond { file: found });
            }
            return Ok(());
        }
        let used = place(found.piece, found.number, self.size);
        if used != found { self.compare(found, used) } else { Ok(()) }
    }

    /// A partial file must be the beginning of the one that came later.
    fn compare(&mut self, found: Place, of: Place) -> Result<(), ReadError> {
        let (short, long) = (self.source.read(&found.to_string())?, self.source.best(of)?);
        let (Some(short), Some((_, long))) = (short, long) else { return Ok(()) };
        let count = match found.piece {
            Piece::Tile(_) => short.len() / 32,
            Piece::Entries => crate::audit::Entry::leaves(found.number, &short).map_or(0, |leaves| leaves.len()),
            Piece::Personal => crate::audit::Entry::personal_parts(found.number, &short).map_or(0, |parts| parts.len()),
        };
        if count != usize::from(found.width)
            || !long.starts_with(&short)
            || matches!(found.piece, Piece::Tile(_)) && short.len() % 32 > 0
        {
            self.findings.push(Finding::Partial { file: found, of });
        }
        Ok(())
    }
}
