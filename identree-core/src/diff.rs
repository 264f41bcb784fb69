//! What differs between two texts, line by line: as a unified diff (POSIX `diff -u`), or as the lines that went and came.

use std::fmt::Write as _;
use std::path::Path;

use crate::text::visible_bytes;

/// Lines that stay, shown around a change.
const CONTEXT: usize = 3;
/// What is not alike at both ends is compared line by line up to this many lines; beyond, all of it went and came.
const MAX_LINES: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Keep(usize, usize),
    Out(usize),
    In(usize),
}

/// The difference between two states of the file; `None` stands for no file. Empty where they are the same.
pub fn unified(path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let name = |state: Option<&[u8]>| state.map_or("/dev/null".to_owned(), |_| path.display().to_string());
    between((&name(before), before.unwrap_or_default()), (&name(after), after.unwrap_or_default()))
}

/// The difference between two texts, each with its name. Empty where they are the same.
pub fn between((old_name, before): (&str, &[u8]), (new_name, after): (&str, &[u8])) -> String {
    let (old, new) = (lines(before), lines(after));
    let ops = ops(&old, &new);
    let mut out = String::new();
    if ops.iter().all(|op| matches!(op, Op::Keep(..))) {
        return out;
    }
    let _ = writeln!(out, "--- {old_name}\n+++ {new_name}");
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

/// The lines that went and those that came, each with its number from 1.
pub fn changed<'t>(before: &'t str, after: &'t str) -> (Numbered<'t>, Numbered<'t>) {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let (mut went, mut came) = (Vec::new(), Vec::new());
    for op in ops(&old, &new) {
        match op {
            Op::Keep(..) => {}
            Op::Out(at) => went.push((at + 1, old[at])),
            Op::In(at) => came.push((at + 1, new[at])),
        }
    }
    (went, came)
}

/// Lines with their numbers.
pub type Numbered<'t> = Vec<(usize, &'t str)>;

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// What stays at both ends, and between them the longest common subsequence, by the table.
fn ops<L: PartialEq>(old: &[L], new: &[L]) -> Vec<Op> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (rest_old, rest_new) = (&old[head..], &new[head..]);
    let tail = rest_old.iter().rev().zip(rest_new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (end_old, end_new) = (old.len() - tail, new.len() - tail);
    let mut out: Vec<Op> = (0..head).map(|at| Op::Keep(at, at)).collect();
    out.extend(inner(&old[head..end_old], &new[head..end_new]).into_iter().map(|op| match op {
        Op::Keep(i, j) => Op::Keep(head + i, head + j),
        Op::Out(i) => Op::Out(head + i),
        Op::In(j) => Op::In(head + j),
    }));
    out.extend((0..tail).map(|at| Op::Keep(end_old + at, end_new + at)));
    out
}

fn inner<L: PartialEq>(old: &[L], new: &[L]) -> Vec<Op> {
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

    proptest::proptest! {
        #[test]
        fn what_went_and_came_makes_the_one_of_the_other(old in "([ab]\n){0,12}", new in "([ab]\n){0,12}") {
            let (went, came) = changed(&old, &new);
            let went: Vec<_> = went.iter().map(|(number, _)| number - 1).collect();
            let mut kept = old.lines().enumerate().filter(|(at, _)| !went.contains(at)).map(|(_, line)| line);
            let made: Vec<_> = (1..=new.lines().count())
                .filter_map(|number| came.iter().find(|(at, _)| *at == number).map(|(_, line)| *line).or_else(|| kept.next()))
                .collect();
            proptest::prop_assert_eq!(made, new.lines().collect::<Vec<_>>());
            proptest::prop_assert_eq!(kept.next(), None);
        }
    }

    #[test]
    fn what_went_and_came_has_its_line_numbers() {
        let (went, came) = changed("a\nb\nc\nd\n", "a\nB\nc\nd\ne\n");
        assert_eq!((went, came), (vec![(2, "b")], vec![(2, "B"), (5, "e")]));
        assert_eq!(changed("", "x"), (vec![], vec![(1, "x")]));
        assert_eq!(changed("x\nx\nx", "x\nx"), (vec![(3, "x")], vec![]), "what is alike at both ends counts once");
        let long: String = (0..5000).map(|n| format!("{n}\n")).collect();
        let around = format!("x\n{long}y\n");
        let (went, came) = changed(&long, &around);
        assert_eq!((went.len(), came.len()), (5000, 5002), "beyond the bound all of it");
        let inside = long.replace("77\n", "x\n");
        let (went, came) = changed(&long, &inside);
        assert!(went.len() == came.len() && went.len() < 5000);
    }
}
