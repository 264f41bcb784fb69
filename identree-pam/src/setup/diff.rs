//! What would change, as a unified diff (POSIX `diff -u`).

use std::fmt::Write as _;
use std::path::Path;

use identree_core::text::visible_bytes;

/// Lines that stay, shown around a change.
const CONTEXT: usize = 3;
/// Files are compared line by line up to this many lines; what setup edits has a few dozen.
const MAX_LINES: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Keep(usize, usize),
    Out(usize),
    In(usize),
}

/// The difference between two states of the file; `None` stands for no file. Empty where they are the same.
pub fn unified(path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let (old, new) = (lines(before), lines(after));
    let ops = ops(&old, &new);
    let mut out = String::new();
    if ops.iter().all(|op| matches!(op, Op::Keep(..))) {
        return out;
    }
    let name = |state: Option<&[u8]>| state.map_or("/dev/null".to_owned(), |_| path.display().to_string());
    let _ = writeln!(out, "--- {}\n+++ {}", name(before), name(after));
    let changed: Vec<usize> = (0..ops.len()).filter(|at| !matches!(ops[*at], Op::Keep(..))).collect();
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for at in changed {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(ops.len()));
        match hunks.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => hunks.push((from, to)),
        }
    }
    for (from, to) in hunks {
        let hunk = &ops[from..to];
        let olds = hunk.iter().filter(|op| !matches!(op, Op::In(_))).count();
        let news = hunk.iter().filter(|op| !matches!(op, Op::Out(_))).count();
        let before = |wanted: fn(&&Op) -> bool| ops[..from].iter().filter(wanted).count();
        let start = |seen: usize, count: usize| if count == 0 { seen } else { seen + 1 };
        let (a, b) = (before(|op| !matches!(op, Op::In(_))), before(|op| !matches!(op, Op::Out(_))));
        let _ = writeln!(out, "@@ -{},{olds} +{},{news} @@", start(a, olds), start(b, news));
        for op in hunk {
            let (sign, line) = match op {
                Op::Keep(at, _) => (' ', old[*at]),
                Op::Out(at) => ('-', old[*at]),
                Op::In(at) => ('+', new[*at]),
            };
            let bare = line.strip_suffix(b"\n");
            let _ = writeln!(out, "{sign}{}", visible_bytes(bare.unwrap_or(line)).replace("\\t", "\t"));
            if bare.is_none() {
                out.push_str("\\ No newline at end of file\n");
            }
        }
    }
    out
}

fn lines(text: Option<&[u8]>) -> Vec<&[u8]> {
    text.unwrap_or_default().split_inclusive(|byte| *byte == b'\n').collect()
}

/// The longest common subsequence, by the table.
fn ops(old: &[&[u8]], new: &[&[u8]]) -> Vec<Op> {
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    if old.len() <= MAX_LINES && new.len() <= MAX_LINES {
        let mut best = vec![vec![0u16; new.len() + 1]; old.len() + 1];
        for i in (0..old.len()).rev() {
            for j in (0..new.len()).rev() {
                best[i][j] = if old[i] == new[j] { best[i + 1][j + 1] + 1 } else { best[i + 1][j].max(best[i][j + 1]) };
            }
        }
        while i < old.len() && j < new.len() {
            if old[i] == new[j] {
                out.push(Op::Keep(i, j));
                (i, j) = (i + 1, j + 1);
            } else if best[i + 1][j] >= best[i][j + 1] {
                out.push(Op::Out(i));
                i += 1;
            } else {
                out.push(Op::In(j));
                j += 1;
            }
        }
    }
    out.extend((i..old.len()).map(Op::Out));
    out.extend((j..new.len()).map(Op::In));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_diff_prints_it() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni";
        let after = "a\nb\nc\nX\nd\ne\nf\ng\nh\nj\n";
        let text = unified(Path::new("/etc/x"), Some(before.as_bytes()), Some(after.as_bytes()));
        let expected = "--- /etc/x\n+++ /etc/x\n@@ -1,9 +1,10 @@\n a\n b\n c\n+X\n d\n e\n f\n g\n h\n-i\n\
                        \\ No newline at end of file\n+j\n";
        assert_eq!(text, expected);
        assert_eq!(unified(Path::new("/x"), Some(b"a\n"), Some(b"a\n")), "");
        let new = unified(Path::new("/x"), None, Some(b"a\n"));
        assert_eq!(new, "--- /dev/null\n+++ /x\n@@ -0,0 +1,1 @@\n+a\n");
        let far: String = (0..20).map(|n| format!("{n}\n")).collect();
        let both = unified(Path::new("/x"), Some(far.as_bytes()), Some(format!("x\n{far}y\n").as_bytes()));
        assert_eq!(both.matches("@@ -").count(), 2, "{both}");
        assert!(unified(Path::new("/x"), Some(b""), Some(b"\x1b[2J\n")).contains("+\\"), "nothing hidden");
    }
}
