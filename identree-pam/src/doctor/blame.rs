//! Which line makes a door open.

use std::fs;
use std::path::{Path, PathBuf};

use identree_core::text::visible;

use super::Line;
use crate::setup::plan::Places;
use crate::setup::stack::{Phase, decides};

/// The first line of the service's file that decides in that phase and does not ask.
pub(super) fn pam(places: &Places, service: &str, phase: Phase) -> Option<Line> {
    let files = [places.pam.join(service), places.vendor_pam.join(service), places.pam.join("other")];
    files.into_iter().find(|file| file.exists()).and_then(|file| {
        let text = fs::read(&file).ok()?;
        line(&file, &text, decides(&text, phase)?)
    })
}

/// The first line of sudo's rules that lets somebody pass without authentication.
pub(super) fn sudoers(places: &Places) -> Option<Line> {
    let drop_ins = fs::read_dir(places.drop_in.parent()?).ok().into_iter().flatten();
    let mut files: Vec<PathBuf> = drop_ins.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.insert(0, places.sudoers.clone());
    files.into_iter().find_map(|file| {
        let text = fs::read(&file).ok()?;
        let free = |line: &str| {
            let line = line.split('#').next().unwrap_or_default();
            line.contains("NOPASSWD") || line.contains("!authenticate")
        };
        let number = String::from_utf8_lossy(&text).lines().position(free)? + 1;
        line(&file, &text, number)
    })
}

/// Whether root has a password that somebody could type at `su` (shadow(5)): without one that is known, it is taken as yes.
pub(super) fn root_has_password(shadow: &Path) -> bool {
    let Ok(text) = fs::read_to_string(shadow) else { return true };
    let hash = text.lines().find_map(|line| line.strip_prefix("root:")?.split(':').next());
    hash.is_none_or(|hash| !hash.starts_with(['!', '*']))
}

fn line(file: &Path, text: &[u8], number: usize) -> Option<Line> {
    let text = text.split(|byte| *byte == b'\n').nth(number.checked_sub(1)?)?;
    let words: Vec<_> = String::from_utf8_lossy(text).split_whitespace().map(str::to_owned).collect();
    let text = visible(&words.join(" ")).into_owned();
    Some(Line { file: file.to_owned(), number, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_password_counts_unless_it_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let shadow = folder.path().join("shadow");
        for (text, has) in
            [("root:*:1::\n", false), ("root:!$6$x:1::\n", false), ("root:$6$x:1::\n", true), ("root::1::\n", true)]
        {
            fs::write(&shadow, text).unwrap();
            assert_eq!(root_has_password(&shadow), has, "{text}");
        }
        assert!(root_has_password(Path::new("/nonexistent")));
    }
}
