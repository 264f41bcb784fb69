//! One try of the password: charged on disk before it is compared, so that ending the process gives no second one.

use std::time::Duration;

use identree_core::secret::Secret;

use super::throttle::Throttle;
use super::used::{Use, record, tell};
use super::{GlassError, HashFile, Place};
use crate::clock::calendar_secs;
use crate::state::{State, StateError};

const NAME: &str = "throttle";
const MAX_BYTES: u64 = 64 * 1024;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It is the password, and its use is written down.
    Right,
    /// It is not.
    Wrong,
    /// Not looked at: too many tries. Try again after that time.
    TooOften(Duration),
    /// There is no password on this host.
    None,
}

/// Tries the password for the person with that uid. `used` is written down when it is right; without it nothing opens,
/// so nothing is.
///
/// # Errors
/// [`GlassError`] where anything is not as it must be: then no password is right.
pub fn verify(place: &Place, password: &Secret<String>, uid: u32, used: Option<&Use>) -> Result<Checked, GlassError> {
    let Some(file) = HashFile::load(&place.file, place.owner)? else { return Ok(Checked::None) };
    let state = State::open(&place.folder, place.owner)?;
    let charged = change(&state, |throttle| throttle.charge(uid, calendar_secs()))?;
    if let Err(wait) = charged {
        return Ok(Checked::TooOften(wait));
    }
    if !file.hash.matches(password) {
        tell(&format!("a wrong break-glass password was typed: uid={uid}"));
        return Ok(Checked::Wrong);
    }
    if let Some(used) = used {
        record(&state, used)?;
    }
    change(&state, |throttle| throttle.refund(uid))?;
    Ok(Checked::Right)
}

fn change<T>(state: &State, how: impl FnOnce(&mut Throttle) -> T) -> Result<T, StateError> {
    let _lock = state.lock()?;
    let mut throttle = match state.read(NAME, MAX_BYTES)? {
        None => Throttle::default(),
        Some(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(Throttle::decode)
            .ok_or_else(|| StateError::Damaged(state.path(NAME)))?,
    };
    let result = how(&mut throttle);
    state.write(NAME, throttle.encode().as_bytes())?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::{Hash, uses};
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn place(folder: &tempfile::TempDir) -> Place {
        let owner = rustix::process::geteuid().as_raw();
        let place = Place { file: folder.path().join("hash"), folder: folder.path().join("glass"), owner };
        State::create(&place.folder, owner).unwrap();
        let file = HashFile { created: 1, hash: Hash::new(&secret("right"), [1; 16]).unwrap() };
        fs::write(&place.file, file.render()).unwrap();
        fs::set_permissions(&place.file, fs::Permissions::from_mode(0o600)).unwrap();
        place
    }

    fn ann() -> Use {
        Use { at: 9, user: "ann".into(), service: "sudo".into(), run_as: "root".into() }
    }

    #[test]
    fn right_leaves_a_line_wrong_leaves_none_and_the_fourth_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let state = State::open(&place.folder, place.owner).unwrap();
        assert_eq!(verify(&place, &secret("right"), 7, Some(&ann())).unwrap(), Checked::Right);
        assert_eq!(uses(&state).unwrap(), [ann()]);
        for _ in 0..3 {
            assert_eq!(verify(&place, &secret("wrong"), 7, Some(&ann())).unwrap(), Checked::Wrong);
        }
        let fourth = verify(&place, &secret("right"), 7, Some(&ann())).unwrap();
        assert!(matches!(fourth, Checked::TooOften(_)), "{fourth:?}");
        assert_eq!(verify(&place, &secret("right"), 8, Some(&ann())).unwrap(), Checked::Right, "another person");
        assert_eq!(uses(&state).unwrap().len(), 2);
    }

    #[test]
    fn nothing_is_right_where_anything_is_not_as_it_must_be() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let right = || verify(&place, &secret("right"), 7, Some(&ann()));
        let mode = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&place.file, 0o640);
        assert!(right().unwrap_err().to_string().contains("chmod 0600"));
        mode(&place.file, 0o600);
        fs::write(place.folder.join(NAME), "host 99 0\n").unwrap();
        assert!(matches!(right(), Err(GlassError::State(StateError::Damaged(_)))));
        fs::remove_file(place.folder.join(NAME)).unwrap();
        mode(&place.folder, 0o755);
        assert!(matches!(right(), Err(GlassError::State(StateError::Directory { .. }))));
        mode(&place.folder, 0o700);
        assert_eq!(right().unwrap(), Checked::Right);
        fs::remove_file(&place.file).unwrap();
        assert_eq!(right().unwrap(), Checked::None);
    }
}
