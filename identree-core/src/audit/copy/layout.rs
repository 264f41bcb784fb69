//! Where each piece of a copy lies (tlog-tiles, "Merkle Tree" and "Log Entries").

use std::fmt;

use crate::store::TILE;

/// What a file of a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// Hashes of this level.
    Tile(u8),
    /// Leaves.
    Entries,
    /// The personal parts beside them.
    Personal,
}

/// One file of a copy: what it holds, its number, and how many hashes or entries of 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// What it holds.
    pub piece: Piece,
    /// Its number.
    pub number: u64,
    /// How many, 1 to 256; fewer than 256 make the file a partial one.
    pub width: u16,
}

/// The width of a whole file.
pub(crate) const WHOLE: u16 = 256;
/// tlog-tiles has levels up to 63.
const HIGHEST: u8 = 63;

impl Place {
    /// A whole file.
    pub const fn whole(piece: Piece, number: u64) -> Self {
        Self { piece, number, width: WHOLE }
    }

    /// The same number with another width.
    #[must_use]
    pub const fn of_width(self, width: u16) -> Self {
        Self { width, ..self }
    }

    /// The last file of this piece in a log of this size, if that is a partial one.
    pub fn partial(piece: Piece, size: u64) -> Option<Self> {
        let level = if let Piece::Tile(level) = piece { level } else { 0 };
        let whole = TILE.checked_pow(u32::from(level)).map_or(0, |leaves| size / leaves);
        let width = u16::try_from(whole % TILE).ok().filter(|width| *width > 0)?;
        Some(Self { piece, number: whole / TILE, width })
    }

    /// The folder of all partial files of this number.
    pub fn partials(self) -> String {
        format!("{}.p", self.of_width(WHOLE))
    }

    /// Reads a path within a copy; `None` if it is none of these files.
    pub fn parse(path: &str) -> Option<Self> {
        let (piece, rest) = match path.strip_prefix("tile/") {
            None => (Piece::Personal, path.strip_prefix("personal/")?),
            Some(rest) => {
                let (what, rest) = rest.split_once('/')?;
                let piece = match what {
                    "entries" => Piece::Entries,
                    level => Piece::Tile(level.parse().ok().filter(|level| *level <= HIGHEST)?),
                };
                (piece, rest)
            }
        };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().ok().filter(|width| (1..WHOLE).contains(width))?),
            None => (rest, WHOLE),
        };
        let digit = |group: &str| group.trim_start_matches('x').parse::<u64>().ok().filter(|n| *n < 1000);
        let number = groups.split('/').try_fold(0_u64, |sum, group| sum.checked_mul(1000)?.checked_add(digit(group)?));
        // One spelling each.
        number.map(|number| Self { piece, number, width }).filter(|place| place.to_string() == path)
    }
}

impl fmt::Display for Place {
    /// The path within a copy: `tile/0/x001/x234/067.p/8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.piece {
            Piece::Tile(level) => write!(f, "tile/{level}/")?,
            Piece::Entries => f.write_str("tile/entries/")?,
            Piece::Personal => f.write_str("personal/")?,
        }
        let mut power = 1;
        while self.number / power >= 1000 {
            power *= 1000;
        }
        while power > 1 {
            write!(f, "x{:03}/", self.number / power % 1000)?;
            power /= 1000;
        }
        write!(f, "{:03}", self.number % 1000)?;
        if self.width < WHOLE { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification_and_read_back() {
        for (place, path) in [
            (Place::whole(Piece::Tile(0), 1_234_067), "tile/0/x001/x234/067"),
            (Place::whole(Piece::Entries, 0), "tile/entries/000"),
            (Place { piece: Piece::Tile(3), number: 273, width: 8 }, "tile/3/273.p/8"),
            (Place { piece: Piece::Personal, number: 1000, width: 255 }, "personal/x001/000.p/255"),
            (Place::whole(Piece::Tile(0), u64::MAX), "tile/0/x018/x446/x744/x073/x709/x551/615"),
        ] {
            assert_eq!(place.to_string(), path);
            assert_eq!(Place::parse(path), Some(place), "{path}");
        }
    }

    #[test]
    fn another_spelling_is_no_path() {
        for path in [
            "",
            "tile/0/1",
            "tile/0/0001",
            "tile/0/x000/001",
            "tile/0/001.p/256",
            "tile/0/001.p/0",
            "tile/0/001.p/08",
            "tile/64/001",
            "tile/00/001",
            "tile/entries",
            "tile/0/x001/x002",
            "personal/erasures",
            "tile/0/+01",
            "checkpoint",
        ] {
            assert_eq!(Place::parse(path), None, "{path}");
        }
    }

    #[test]
    fn the_last_file_of_a_log_is_short_unless_it_fits() {
        let width = |level, size| Place::partial(Piece::Tile(level), size).map(|place| (place.number, place.width));
        assert_eq!(width(0, 700), Some((2, 188)));
        assert_eq!(width(1, 700), Some((0, 2)));
        assert_eq!(width(2, 700), None);
        assert_eq!(width(0, 512), None);
        assert_eq!(width(8, u64::MAX), None);
    }
}
