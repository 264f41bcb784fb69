//! What of the environment is not sudo's own making: bound byte for byte, or refused where it would run other code.

use identree_core::challenge::RunMode;
use identree_core::text::visible_bytes;
use identree_core::wire::v1::Bytes;
use nix::unistd::User;

use super::file::walk;
use super::{CallError, Pairs};

/// Variables that make a loader, a shell or an interpreter run or read what they name; those that end in `*` by their
/// beginning. sudo removes most of them unless a rule keeps them (`env_delete` in `sudoers(5)`).
const DANGEROUS: &[&str] = &[
    "LD_*",
    "_RLD_*",
    "DYLD_*",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "MALLOC_TRACE",
    "MALLOC_CHECK_",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "PATH_LOCALE",
    "OPENSSL_*",
    "SSLKEYLOGFILE",
    "BASH_ENV",
    "ENV",
    "IFS",
    "CDPATH",
    "SHELLOPTS",
    "BASHOPTS",
    "BASH_FUNC_*",
    "PS4",
    "GLOBIGNORE",
    "PROMPT_COMMAND",
    "BASH_LOADABLES_PATH",
    "ZDOTDIR",
    "FPATH",
    "NULLCMD",
    "READNULLCMD",
    "KSH_ENV",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "PYTHON*",
    "PERL5*",
    "PERLLIB",
    "PERLIO_DEBUG",
    "RUBYLIB",
    "RUBYOPT",
    "GEM_*",
    "BUNDLE_*",
    "NODE_OPTIONS",
    "NODE_PATH",
    "LUA_*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "TCLLIBPATH",
    "R_PROFILE*",
    "R_ENVIRON*",
    "TERMINFO*",
    "TERMPATH",
    "TERMCAP",
    "LESSOPEN",
    "LESSCLOSE",
    "LESSKEY*",
    "VIMINIT",
    "EXINIT",
    "VIM",
    "VIMRUNTIME",
    "MYVIMRC",
    "EMACSLOADPATH",
    "TMPPREFIX",
    "GIT_*",
    "SUDO_ASKPASS",
    "SSH_ASKPASS",
    "DPKG_ROOT",
    "APT_CONFIG",
    "MAKEFLAGS",
    "MAKEFILES",
    "QT_PLUGIN_PATH",
    "GTK_MODULES",
    "GIO_*",
];

/// Variables whose value chooses a look or a language, harmless while it is a plain word; `LC_*` besides.
const PLAIN: [&str; 9] =
    ["TERM", "COLORTERM", "LANG", "LANGUAGE", "LINES", "COLUMNS", "DISPLAY", "XDG_CURRENT_DESKTOP", "LS_COLORS"];

/// The folders of a usual `secure_path`.
const FOLDERS: [&[u8]; 7] =
    [b"/usr/local/sbin", b"/usr/local/bin", b"/usr/sbin", b"/usr/bin", b"/sbin", b"/bin", b"/snap/bin"];

/// What sudo makes its variables of.
pub(super) struct Clean<'a> {
    pub(super) user: &'a Pairs<'a>,
    pub(super) path: &'a [u8],
    pub(super) mode: RunMode,
    pub(super) account: Option<&'a User>,
}

/// The variables that differ from what sudo makes anew, in order.
pub(super) fn kept(environment: &[Vec<u8>], clean: &Clean<'_>) -> Result<Vec<Bytes>, CallError> {
    let mut kept = Vec::new();
    for entry in environment {
        let (name, value) = split(entry);
        if is_dangerous(name, value) {
            return Err(CallError::Variable(visible_bytes(name)));
        }
        if !clean.makes(name, value) {
            kept.push(Bytes(entry.clone()));
        }
    }
    Ok(kept)
}

/// Refuses a `PATH` with a folder where somebody else than root, or the account it runs as, can put a program.
pub(super) fn check_path(environment: &[Vec<u8>], root: Option<&[u8]>, run_as: u32) -> Result<(), CallError> {
    for path in environment.iter().filter_map(|entry| entry.strip_prefix(b"PATH=")) {
        for folder in path.split(|b| *b == b':') {
            let refused = || CallError::Path(visible_bytes(if folder.is_empty() { b"." } else { folder }));
            if !folder.starts_with(b"/") {
                return Err(refused());
            }
            let foreign = |uid: u32| uid != 0 && uid != run_as;
            let open = |mode: u32| mode & 0o022 != 0 && mode & 0o1000 == 0;
            let found = walk(root, folder);
            // Where the way ends early, nobody else can make it go on, if nobody else can write what is there; and in the
            // last folder itself a sticky bit keeps nobody from adding a program.
            let last = found.folders.last().is_some_and(|last| last.mode & 0o022 != 0);
            if last || found.folders.iter().any(|f| foreign(f.uid) || open(f.mode)) {
                return Err(refused());
            }
        }
    }
    Ok(())
}

impl Clean<'_> {
    /// Whether the variable is one that sudo made, or a plain word.
    fn makes(&self, name: &[u8], value: &[u8]) -> bool {
        let is = |expected: Option<&[u8]>| expected == Some(value);
        let account = |field: fn(&User) -> Vec<u8>| self.account.map(field).is_some_and(|text| text == value);
        match name {
            b"SUDO_USER" => is(self.user.get("user")),
            b"SUDO_UID" => is(self.user.get("uid")),
            b"SUDO_GID" => is(self.user.get("gid")),
            b"SUDO_COMMAND" => value.starts_with(self.path),
            b"LOGNAME" | b"USER" | b"USERNAME" => account(|a| a.name.clone().into_bytes()),
            b"HOME" => account(|a| a.dir.as_os_str().as_encoded_bytes().to_vec()),
            b"SHELL" if self.mode == RunMode::Shell => value == self.path,
            b"SHELL" => account(|a| a.shell.as_os_str().as_encoded_bytes().to_vec()),
            b"MAIL" => {
                let name = value.strip_prefix(b"/var/mail/").or_else(|| value.strip_prefix(b"/var/spool/mail/"));
                name.is_some_and(|name| self.account.is_some_and(|a| a.name.as_bytes() == name))
            }
            b"PATH" => value.split(|b| *b == b':').all(|folder| FOLDERS.contains(&folder)),
            b"TZ" => plain(value, b"/") && !value.starts_with(b"/") && !value.contains(&b'.'),
            b"LS_COLORS" => value.iter().all(|b| b.is_ascii_alphanumeric() || b"=;:.*+~#_,-".contains(b)),
            name => {
                let known = name.starts_with(b"LC_") || PLAIN.iter().any(|known| known.as_bytes() == name);
                known && plain(value, b":")
            }
        }
    }
}

fn split(entry: &[u8]) -> (&[u8], &[u8]) {
    entry.iter().position(|b| *b == b'=').map_or((entry, &[]), |at| (&entry[..at], &entry[at + 1..]))
}

fn plain(value: &[u8], besides: &[u8]) -> bool {
    value.len() <= 64 && value.iter().all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(b) || besides.contains(b))
}

/// By its name, or because its value is a function for a shell.
pub(super) fn is_dangerous(name: &[u8], value: &[u8]) -> bool {
    let listed = DANGEROUS.iter().any(|known| match known.strip_suffix('*') {
        Some(begin) => name.starts_with(begin.as_bytes()),
        None => known.as_bytes() == name,
    });
    listed || value.starts_with(b"()")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn list(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    fn kept_of(words: &[&str]) -> Result<Vec<String>, String> {
        let info = list(&["user=ann", "uid=1000", "gid=1000"]);
        let root = User::from_uid(nix::unistd::Uid::from_raw(0)).unwrap();
        let user = Pairs::of(&info);
        let clean = Clean { user: &user, path: b"/usr/bin/id", mode: RunMode::Command, account: root.as_ref() };
        let kept = kept(&list(words), &clean).map_err(|error| error.to_string())?;
        Ok(kept.into_iter().map(|bytes| String::from_utf8(bytes.0).unwrap()).collect())
    }

    #[test]
    fn what_sudo_makes_is_left_out_and_the_rest_is_bound() {
        let clean = [
            "TERM=xterm-256color",
            "LANG=de_DE.UTF-8",
            "LC_TIME=C",
            "TZ=Europe/Berlin",
            "LS_COLORS=rs=0:di=01;34:*.tar=01;31:",
            "DISPLAY=localhost:10.0",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "MAIL=/var/mail/root",
            "LOGNAME=root",
            "USER=root",
            "SUDO_COMMAND=/usr/bin/id -u",
            "SUDO_USER=ann",
            "SUDO_UID=1000",
            "SUDO_GID=1000",
        ];
        assert_eq!(kept_of(&clean), Ok(vec![]));
        let odd = [
            "TERM=../../tmp/x",
            "LANG=%n",
            "TZ=:/tmp/x",
            "PATH=/opt/bin:/usr/bin",
            "HOME=/home/ann",
            "USER=ann",
            "MAIL=/home/ann/x",
            "SUDO_USER=bob",
            "SUDO_UID=0",
            "SUDO_COMMAND=/bin/other",
            "PS1=$(reboot)",
            "EDITOR=vi",
            "no-equals",
        ];
        assert_eq!(kept_of(&odd), Ok(odd.map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_runs_other_code_is_refused_and_named() {
        for word in [
            "LD_PRELOAD=/tmp/x.so",
            "LD_LIBRARY_PATH=",
            "PYTHONPATH=/tmp",
            "PERL5LIB=/tmp",
            "BASH_ENV=/tmp/x",
            "ENV=/tmp/x",
            "IFS=/",
            "BASH_FUNC_id%%=() { reboot; }",
            "ANY=() { :; }; reboot",
            "GCONV_PATH=.",
            "NODE_OPTIONS=--require /tmp/x",
            "LESSOPEN=|/tmp/x",
        ] {
            let name = word.split('=').next().unwrap();
            let error = kept_of(&["TERM=xterm", word]).unwrap_err();
            assert!(error.contains(&format!("the variable {name} would")) && error.contains("env_keep"), "{error}");
        }
    }

    #[test]
    fn a_path_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ours = rustix::process::geteuid().as_raw();
        let check = |path: &str| check_path(&list(&[&format!("PATH={path}")]), None, ours);
        let name = folder.path().to_str().unwrap();
        for path in ["", ".", "bin", "/usr/bin::/bin", "/usr/bin:"] {
            assert!(matches!(check(path), Err(CallError::Path(_))), "{path}");
        }
        assert!(check("/usr/bin:/bin:/no-such-folder/bin").is_ok());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(check(name).unwrap_err().to_string().contains("secure_path"));
        assert!(check("/tmp").is_err(), "the sticky bit keeps nobody from adding a program");
        let root = folder.path().as_os_str().as_encoded_bytes().to_vec();
        assert!(
            check_path(&list(&["PATH=/"]), Some(&root), ours).is_err(),
            "inside another root its own folders count"
        );
    }
}
