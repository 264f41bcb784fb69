//! Writing a copy, and adding to one.

use std::fs;
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::layout::WHOLE;
use super::{CHECKPOINT, CHECKPOINTS, ERASURES, KEY, Notes, Piece, Place};
use crate::audit::proof::{self, root_from};
use crate::audit::tree::Tree;
use crate::audit::{Checkpoint, CheckpointError, Entry, EntryError, LogKey, leaf_hash};
use crate::store::{Bundle, Hash, Log, StoreError, StoredCheckpoint, TILE};

/// Bundles that are read at once: some megabytes.
const AT_ONCE: u32 = 32;

/// What to copy, and where to.
#[derive(Debug, Clone)]
pub struct Export<'a> {
    /// The log's key: what was copied before must be of the same log.
    pub key: &'a LogKey,
    /// The directory; it is made, or what is there is added to.
    pub dir: &'a Path,
    /// Whether personal data is copied too.
    pub with_personal: bool,
    /// Entries of this size of the log are known to whoever the copy is for: whole bundles before it are left out.
    pub from: u64,
}

/// What a copy has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// The size of the log that the copy's newest checkpoint speaks of.
    pub size: u64,
    /// The size it had before.
    pub before: u64,
    /// The first entry in it.
    pub first: u64,
    /// Checkpoints that were added.
    pub checkpoints: u64,
}

/// Why a copy was not made. What was written stays, and the next try goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to copy yet.
    #[error("the log has no checkpoint yet; one is signed at the latest 10 s after the first event")]
    Empty,
    /// A checkpoint is not of this key.
    #[error("{place}")]
    Checkpoint {
        /// Which.
        place: String,
        /// Why.
        source: CheckpointError,
    },
    /// The directory has another history.
    #[error(
        "the copy in {dir} is no beginning of this log: at {size} entries it has another root. Keep it, verify it with its key, and \
         export into another directory", dir = .dir.display()
    )]
    OtherHistory {
        /// The directory.
        dir: PathBuf,
        /// The size at which they differ.
        size: u64,
    },
    /// The store has removed what would have to be added.
    #[error("entries {from} to {to} were removed by retention and are not in {dir}; export into a new directory", dir = .dir.display())]
    Gap {
        /// The directory.
        dir: PathBuf,
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
    /// The directory has personal data, which would grow old.
    #[error(
        "{dir} has personal data of an earlier export: export with it again (--with-personal), so that what was erased goes there too, \
         or remove the folder personal", dir = .dir.display()
    )]
    Personal {
        /// The directory.
        dir: PathBuf,
    },
    /// What the store has does not fit together.
    #[error("bundle {number} of the log")]
    Bundle {
        /// Its number.
        number: u64,
        /// Why.
        source: EntryError,
    },
    /// The store has not what its checkpoint speaks of.
    #[error("the log has not all of {what}, which its checkpoint speaks of")]
    Short {
        /// Which file of the copy.
        what: Place,
    },
}

/// Copies the log up to its newest checkpoint. A second export into the same directory only adds. Every file appears whole; the one named
/// `checkpoint` is written last, so that a reader never sees a checkpoint without its tiles.
///
/// # Errors
/// [`ExportError`]; the next try goes on where this one stopped.
pub async fn export<L: Log + ?Sized>(log: &L, what: &Export<'_>) -> Result<Exported, ExportError> {
    let head = log.head().await?;
    let newest = log.last_checkpoint().await?.ok_or(ExportError::Empty)?;
    opened("the log's newest checkpoint", &newest.note, what.key)?;
    let dir = Dir(what.dir);
    let before = dir.copied(log, what.key).await?;
    let personal = dir.personal(what.with_personal, head.erasures)?;
    let first = dir.bundles(log, what, newest.size, before).await?;
    if personal == Personal::All {
        dir.all_personal(log, newest.size).await?;
    }
    if personal != Personal::None {
        dir.write(ERASURES, format!("{}\n", head.erasures).as_bytes())?;
    }
    dir.upper_tiles(log, newest.size, before).await?;
    let checkpoints = dir.checkpoints(log, newest.size, what.from).await?;
    dir.write(KEY, format!("{}\n", what.key).as_bytes())?;
    dir.write(CHECKPOINT, newest.note.as_bytes())?;
    Ok(Exported { size: newest.size, before, first, checkpoints })
}

fn opened(place: &str, note: &str, key: &LogKey) -> Result<Checkpoint, ExportError> {
    Checkpoint::open(note, key).map_err(|source| ExportError::Checkpoint { place: place.to_owned(), source })
}

/// What becomes of personal data in this export.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Personal {
    None,
    /// That of the bundles that come.
    New,
    /// Some was erased since, or none was copied yet.
    All,
}

/// The directory of a copy.
struct Dir<'a>(&'a Path);

impl Dir<'_> {
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// Writes a file whole or not at all. Personal data is for its owner alone.
    fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), ExportError> {
        let mode = if path.as_ref().starts_with("personal") { 0o600 } else { 0o666 };
        let path = self.at(path);
        let file = |source| ExportError::File { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(file)?;
        }
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        // What an export that was cut has left goes, and a link that somebody put there is not followed.
        match fs::remove_file(&beside) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(file(source)),
            _ => {}
        }
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(file)?;
        out.write_all(bytes).and_then(|()| out.sync_data()).map_err(file)?;
        fs::rename(&beside, &path).map_err(file)
    }

    fn read(&self, path: &str) -> Result<Option<String>, ExportError> {
        match fs::read_to_string(self.at(path)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ExportError::File { path: self.at(path), source }),
        }
    }

    fn has(&self, place: Place) -> bool {
        self.at(place.to_string()).is_file()
    }

    /// Removes the partial files of a number, which a whole one replaces.
    fn drop_partials(&self, place: Place) -> Result<(), ExportError> {
        let path = self.at(place.partials());
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ExportError::File { path, source }),
            _ => Ok(()),
        }
    }

    /// The size of what was copied before; it must be a beginning of this log.
    async fn copied<L: Log + ?Sized>(&self, log: &L, key: &LogKey) -> Result<u64, ExportError> {
        let Some(note) = self.read(CHECKPOINT)? else { return Ok(0) };
        let copied = opened(&self.at(CHECKPOINT).display().to_string(), &note, key)?;
        let root = proof::hashes(log, &proof::Path::root(copied.size)).await?;
        let shorter = log.head().await?.size < copied.size;
        // Where the store was pruned beyond it nothing can be compared; verifying the copy will.
        if shorter || root.is_some_and(|hashes| root_from(&hashes) != copied.root) {
            return Err(ExportError::OtherHistory { dir: self.0.to_owned(), size: copied.size });
        }
        Ok(copied.size)
    }

    fn personal(&self, wanted: bool, erasures: u64) -> Result<Personal, ExportError> {
        if !wanted {
            let there = self.at("personal").exists();
            return if there { Err(ExportError::Personal { dir: self.0.to_owned() }) } else { Ok(Personal::None) };
        }
        if !self.at("tile/entries").exists() {
            // Said first: what is written from now on is as new as that, even if this export is cut.
            self.write(ERASURES, format!("{erasures}\n").as_bytes())?;
            return Ok(Personal::New);
        }
        let written = self.read(ERASURES)?;
        Ok(if written.is_some_and(|text| text.trim() == erasures.to_string()) { Personal::New } else { Personal::All })
    }

    /// Entries, their hashes and what is beside them, from where the copy ends. Tells the first entry of the copy.
    async fn bundles<L: Log + ?Sized>(
        &self,
        log: &L,
        what: &Export<'_>,
        size: u64,
        before: u64,
    ) -> Result<u64, ExportError> {
        let mut next = before / TILE;
        let mut first = self.first_bundle(before);
        if before == 0 {
            let begin = what.from.min(size) / TILE;
            // What an export that was cut has written is whole.
            next = (begin..).find(|next| !self.has(Place::whole(Piece::Tile(0), *next))).unwrap_or(begin);
            first = (next > begin).then_some(begin);
        }
        while next * TILE < size {
            let read = log.bundles(next, AT_ONCE).await?;
            for bundle in read.iter().filter(|bundle| bundle.number * TILE < size) {
                if bundle.number != next {
                    if first.is_some() {
                        let (from, to) = (next * TILE, bundle.number * TILE - 1);
                        return Err(ExportError::Gap { dir: self.0.to_owned(), from, to });
                    }
                    next = bundle.number;
                }
                first.get_or_insert(next);
                self.bundle(bundle, size, what.with_personal)?;
                next += 1;
            }
            if read.is_empty() {
                return Err(ExportError::Short { what: Place::whole(Piece::Entries, next) });
            }
        }
        Ok(first.unwrap_or(next) * TILE)
    }

    /// The first bundle that was copied before; what is left out is a beginning.
    fn first_bundle(&self, before: u64) -> Option<u64> {
        let (mut low, mut high) = (0, before / TILE);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.has(Place::whole(Piece::Entries, middle)) { high = middle } else { low = middle + 1 }
        }
        (before > 0).then_some(low)
    }

    fn bundle(&self, bundle: &Bundle, size: u64, with_personal: bool) -> Result<(), ExportError> {
        let number = bundle.number;
        let broken = |source| ExportError::Bundle { number, source };
        let width = u16::try_from((size - number * TILE).min(TILE)).unwrap_or(WHOLE);
        let at = |piece| Place::whole(piece, number).of_width(width);
        let leaves = Entry::leaves(number, &bundle.entries).map_err(broken)?;
        let leaves = leaves.get(..usize::from(width)).ok_or(ExportError::Short { what: at(Piece::Entries) })?;
        let length: usize = leaves.iter().map(|leaf| leaf.len() + 2).sum();
        self.write(at(Piece::Entries).to_string(), &bundle.entries[..length])?;
        if with_personal {
            self.personal_part(bundle, at(Piece::Personal))?;
        }
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        self.write(at(Piece::Tile(0)).to_string(), hashes.as_flattened())?;
        if width == WHOLE {
            self.drop_partials(at(Piece::Entries))?;
            self.drop_partials(at(Piece::Tile(0)))?;
        }
        Ok(())
    }

    /// Only the newest form of personal data is kept: an older partial file would know what was erased since.
    fn personal_part(&self, bundle: &Bundle, at: Place) -> Result<(), ExportError> {
        let broken = |source| ExportError::Bundle { number: bundle.number, source };
        let parts = Entry::personal_parts(bundle.number, &bundle.personal).map_err(broken)?;
        let length: usize = parts.iter().take(usize::from(at.width)).map(|part| part.len() + 4).sum();
        self.drop_partials(at)?;
        self.write(at.to_string(), &bundle.personal[..length])
    }

    async fn all_personal<L: Log + ?Sized>(&self, log: &L, size: u64) -> Result<(), ExportError> {
        let mut next = 0;
        loop {
            let read = log.bundles(next, AT_ONCE).await?;
            for bundle in read.iter().filter(|bundle| bundle.number * TILE < size) {
                let width = u16::try_from((size - bundle.number * TILE).min(TILE)).unwrap_or(WHOLE);
                let at = |piece| Place::whole(piece, bundle.number).of_width(width);
                if self.has(at(Piece::Entries)) {
                    self.personal_part(bundle, at(Piece::Personal))?;
                }
            }
            match read.last().filter(|last| (last.number + 1) * TILE < size) {
                Some(last) => next = last.number + 1,
                None => return Ok(()),
            }
        }
    }

    /// The tiles above the entries, of the whole log.
    async fn upper_tiles<L: Log + ?Sized>(&self, log: &L, size: u64, before: u64) -> Result<(), ExportError> {
        for level in 1..Tree::levels(size) {
            let hashes = |size: u64| size / TILE.pow(u32::from(level));
            let piece = Piece::Tile(level);
            for number in hashes(before) / TILE..hashes(size).div_ceil(TILE) {
                let width = u16::try_from((hashes(size) - number * TILE).min(TILE)).unwrap_or(WHOLE);
                let place = Place::whole(piece, number).of_width(width);
                let tile = log.tile(level, number).await?.map(|tile| tile.hashes);
                let short = || ExportError::Short { what: place };
                let bytes =
                    tile.as_deref().and_then(|hashes| hashes.get(..usize::from(width) * 32)).ok_or_else(short)?;
                self.write(place.to_string(), bytes)?;
                if width == WHOLE {
                    self.drop_partials(place)?;
                }
            }
        }
        Ok(())
    }

    /// Adds the checkpoints that are not there yet; what was cut in the middle of writing is written anew.
    async fn checkpoints<L: Log + ?Sized>(&self, log: &L, size: u64, from: u64) -> Result<u64, ExportError> {
        let path = self.at(CHECKPOINTS);
        let file = |source| ExportError::File { path: path.clone(), source };
        let options = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut out = options.map_err(file)?;
        let (mut end, mut last) = (0, None);
        for note in Notes::new(BufReader::new(&out)).map_while(Result::ok) {
            end += note.len() as u64 + 1;
            last = note.lines().nth(1).and_then(|size| size.parse::<u64>().ok());
        }
        out.set_len(end).and_then(|()| out.seek(SeekFrom::Start(end))).map_err(file)?;
        let (mut next, mut added) = (last.map_or(from, |size| size + 1), 0);
        loop {
            let read = log.checkpoints(next, 1000).await?;
            let fitting = read.iter().take_while(|one| one.size <= size);
            let text: String = fitting.clone().map(|StoredCheckpoint { note, .. }| format!("{note}\n")).collect();
            out.write_all(text.as_bytes()).map_err(file)?;
            added += fitting.count() as u64;
            match read.last().filter(|last| read.len() == 1000 && last.size < size) {
                Some(last) => next = last.size + 1,
                None => break,
            }
        }
        out.sync_all().map_err(file)?;
        Ok(added)
    }
}
