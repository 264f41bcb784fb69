//! The link as a QR code (ISO/IEC 18004) of half blocks, for a phone to read off the terminal.
//!
//! Whether the terminal can show it is guessed from its size and from the caller's locale. The latter is the caller's to
//! set, and may be: a wrong guess shows them odd characters beside the link that stands there anyway.

use std::fs;

use fast_qr::ECL;
use fast_qr::qr::{QRBuilder, QRCode};
use rustix::fd::AsFd;

use crate::facts::procfs;

/// A link is short; what is longer would fill the screen.
const MAX_URL_BYTES: usize = 300;
/// Light modules around the code. The standard wants four; two are read as well and leave room for the words.
const QUIET: usize = 2;
/// Lines that must stay visible with it: who asks for what, code, link, how long.
const BESIDE: usize = 7;

/// How much a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl Canvas {
    /// Of the terminal that PAM names, for the process `pid` at it. `None` where no blocks can be drawn: no terminal, or a
    /// locale that is not UTF-8.
    pub fn of(tty: &str, pid: u32) -> Option<Self> {
        let terminal = crate::transport::open_terminal(tty)?;
        let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
        if is_utf8(&environ) { Self::sized(terminal) } else { None }
    }

    fn sized(terminal: impl AsFd) -> Option<Self> {
        let size = rustix::termios::tcgetwinsize(terminal).ok()?;
        Some(Self { columns: size.ws_col, rows: size.ws_row })
    }
}

/// Whether the locale's characters are UTF-8: the first of the three names that is set counts (`setlocale(3)`).
fn is_utf8(environ: &[u8]) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| procfs::variable(environ, name).filter(|value| !value.is_empty()));
    let locale = String::from_utf8_lossy(locale.unwrap_or_default()).to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The lines of the code; empty where it would not fit, or where the address is nothing that a phone should open.
pub(crate) fn lines(url: &str, canvas: Canvas) -> Vec<String> {
    let plain = url.starts_with("https://") || url.starts_with("http://");
    if !plain || url.len() > MAX_URL_BYTES || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Vec::new();
    }
    // The lowest level of correction: a screen has no scratches, and a small code fits more terminals.
    let Ok(code) = QRBuilder::new(url).ecl(ECL::L).build() else { return Vec::new() };
    let side = code.size + 2 * QUIET;
    if side > canvas.columns.into() || side.div_ceil(2) + BESIDE > canvas.rows.into() {
        return Vec::new();
    }
    (0..side).step_by(2).map(|row| (0..side).map(|column| block(&code, row, column)).collect()).collect()
}

/// Two modules, one above the other. Light ones are drawn: most terminals are dark.
fn block(code: &QRCode, row: usize, column: usize) -> char {
    match (is_light(code, row, column), is_light(code, row + 1, column)) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

fn is_light(code: &QRCode, row: usize, column: usize) -> bool {
    let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < code.size);
    match (inside(row), inside(column)) {
        (Some(row), Some(column)) => !code[row][column].value(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://identree.example/approve/BCDF-GHJK-234567";
    const WIDE: Canvas = Canvas { columns: 80, rows: 40 };

    /// What a reader sees in the lines, each half block as 4 by 4 pixels.
    fn read(lines: &[String]) -> String {
        let cells: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
        let light = |x: usize, y: usize| {
            let upper = y.is_multiple_of(2);
            match cells[y / 2][x] {
                '█' => true,
                '▀' => upper,
                '▄' => !upper,
                _ => false,
            }
        };
        let (width, height) = (cells[0].len() * 4, cells.len() * 8);
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(
                width,
                height,
                |x, y| {
                    if light(x / 4, y / 4) { 255 } else { 0 }
                },
            );
        image.detect_grids()[0].decode().unwrap().1
    }

    #[test]
    fn a_reader_finds_the_link_in_it() {
        let lines = lines(URL, WIDE);
        assert_eq!(read(&lines), URL);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
    }

    #[test]
    fn a_terminal_that_is_too_small_gets_the_link_alone() {
        let side = u16::try_from(lines(URL, WIDE)[0].chars().count()).unwrap();
        let rows = u16::try_from(lines(URL, WIDE).len() + BESIDE).unwrap();
        assert!(!lines(URL, Canvas { columns: side, rows }).is_empty());
        assert!(lines(URL, Canvas { columns: side - 1, rows }).is_empty());
        assert!(lines(URL, Canvas { columns: side, rows: rows - 1 }).is_empty());
    }

    #[test]
    fn what_is_no_plain_link_is_not_drawn() {
        for url in ["javascript:alert(1)", "https://id.example/\u{202e}", "https://id.example/a b", ""] {
            assert!(lines(url, WIDE).is_empty(), "{url}");
        }
        assert!(lines(&format!("https://id.example/{}", "x".repeat(MAX_URL_BYTES)), WIDE).is_empty());
    }

    #[test]
    fn the_first_name_that_is_set_says_the_locale() {
        assert!(is_utf8(b"LANG=de_DE.UTF-8\0"));
        assert!(is_utf8(b"LC_ALL=\0LC_CTYPE=C.utf8\0LANG=C\0"));
        assert!(!is_utf8(b"LANG=de_DE.UTF-8\0LC_ALL=C\0"));
        assert!(!is_utf8(b""));
    }
}
