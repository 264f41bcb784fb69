//! Reading the files of a copy.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{Finding, Findings, ReadError};
use crate::audit::LogKey;
use crate::audit::copy::{CHECKPOINTS, KEY, Notes, Piece, Place};
use crate::store::Hash;

/// The largest file that is read, in bytes: 256 of the longest entries have 16 MiB, and personal parts are of that order.
const LARGEST: u64 = 128 << 20;

/// The directory of a copy.
#[derive(Debug)]
pub(super) struct Source {
    dir: PathBuf,
    /// Whether it has personal data.
    pub(super) with_personal: bool,
}

impl Source {
    pub(super) fn new(dir: &Path) -> Result<Self, ReadError> {
        std::fs::read_dir(dir).map_err(|source| ReadError { path: dir.to_owned(), source })?;
        Ok(Self { with_personal: dir.join("personal").is_dir(), dir: dir.to_owned() })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn open(&self, path: &str) -> Result<Option<File>, ReadError> {
        let path = self.dir.join(path);
        // Looked at before it is opened: opening a pipe waits for somebody who writes to it.
        let open = || match std::fs::metadata(&path)?.is_file() {
            true => File::open(&path),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file")),
        };
        match open() {
            Ok(file) => Ok(Some(file)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(source) => Err(ReadError { path, source }),
        }
    }

    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        let failed = |source| ReadError { path: self.dir.join(path), source };
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LARGEST {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "no file of a copy is that large")));
        }
        Ok(Some(bytes))
    }

    /// The file that has at least `place.width` of what it holds: of this very width, or the whole one, which came later.
    pub(super) fn best(&self, place: Place) -> Result<Option<(Place, Vec<u8>)>, ReadError> {
        for candidate in [place, Place::whole(place.piece, place.number)] {
            if let Some(bytes) = self.read(&candidate.to_string())? {
                return Ok(Some((candidate, bytes)));
            }
        }
        Ok(None)
    }

    /// The first `place.width` hashes of a tile; fewer if it is shorter, none where its length is no number of hashes.
    pub(super) fn hashes(&self, place: Place) -> Result<Option<Vec<Hash>>, ReadError> {
        let Some((found, bytes)) = self.best(place)? else { return Ok(None) };
        let (hashes, rest) = bytes.as_chunks::<32>();
        // One that has more than its name says is another file.
        let fits = rest.is_empty() && hashes.len() <= usize::from(found.width);
        let width = usize::from(place.width).min(hashes.len());
        Ok(Some(if fits { hashes[..width].to_vec() } else { Vec::new() }))
    }

    /// Whether any file of this number is there.
    pub(super) fn has(&self, place: Place) -> bool {
        [place, Place::whole(place.piece, place.number)].iter().any(|place| self.dir.join(place.to_string()).is_file())
    }

    pub(super) fn notes(&self) -> Result<Option<Notes<BufReader<File>>>, ReadError> {
        Ok(self.open(CHECKPOINTS)?.map(|file| Notes::new(BufReader::with_capacity(1 << 16, file))))
    }

    /// Whether the key that came with the copy, if one did, is the one that the auditor has.
    pub(super) fn compare_key(&self, key: &LogKey, findings: &mut Findings) -> Result<(), ReadError> {
        let Some(bytes) = self.read(KEY)? else { return Ok(()) };
        let text = String::from_utf8_lossy(&bytes);
        if LogKey::parse(&text).as_ref() != Ok(key) {
            let shown = crate::text::visible(text.trim()).chars().take(400).collect();
            findings.push(Finding::Key(shown));
        }
        Ok(())
    }
}

/// Where the entries, or the hashes of a level, of this number lie in a log of this size.
pub(super) fn place(piece: Piece, number: u64, size: u64) -> Place {
    let partial = Place::partial(piece, size).filter(|partial| partial.number == number);
    partial.unwrap_or(Place::whole(piece, number))
}
