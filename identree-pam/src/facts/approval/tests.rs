//! What sudo hands to its plugin: what is bound of it, and what is refused.

use super::*;

fn list(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// As sudo 1.9.13 calls for `sudo true`, typed by whoever runs the tests.
fn call() -> SudoCall {
    let (uid, pid) = (nix::unistd::getuid(), std::process::id());
    let name = User::from_uid(uid).unwrap().unwrap().name;
    let info = |word: String| word.into_bytes();
    SudoCall {
        again: false,
        settings: list(&["progname=sudo", "update_ticket=true"]),
        user_info: [
            format!("user={name}"),
            format!("pid={pid}"),
            format!("uid={uid}"),
            "gid=0".into(),
            "groups=0,4".into(),
            "cwd=/tmp".into(),
            "tty=/dev/pts/3".into(),
        ]
        .map(info)
        .to_vec(),
        submit_envp: list(&["SUDO_REASON= ticket\n7 ", "LD_PRELOAD=/tmp/x.so"]),
        command_info: list(&[
            "command=/usr/bin/true",
            "runas_user=root",
            "runas_uid=0",
            "runas_gid=0",
            "runas_groups=0,4",
            "umask=022",
            "closefrom=3",
            "noexec=true",
        ]),
        argv: list(&["true", "-x"]),
        envp: list(&["TERM=xterm", "EDITOR=vi", "PATH=/usr/bin:/bin"]),
    }
}

fn collect(call: &SudoCall) -> Result<SudoFacts, CallError> {
    collect_call(call, nix::unistd::getuid().as_raw(), std::process::id())
}

fn with(change: impl FnOnce(&mut SudoCall)) -> SudoCall {
    let mut call = call();
    change(&mut call);
    call
}

/// Has sudo say this in the place of what it says under that name.
fn say(call: &mut SudoCall, entry: &str) {
    let name = entry.split_inclusive('=').next().unwrap();
    call.command_info.retain(|said| !said.starts_with(name.as_bytes()));
    call.command_info.push(entry.into());
}

#[test]
fn everything_that_sudo_says_is_stated() {
    let facts = collect(&call()).unwrap();
    assert_eq!(facts.command(), "/usr/bin/true -x");
    assert_eq!((facts.reason.as_deref(), facts.tty.as_deref()), (Some("ticket\\n7"), Some("/dev/pts/3")));
    assert_eq!((facts.run_as.user.as_str(), &facts.run_as.group), ("root", &None));
    assert_eq!((facts.source, facts.cwd.as_deref()), (CommandSource::ApprovalPlugin, Some(&b"/tmp"[..])));
    let run = facts.run.as_ref().unwrap();
    assert_eq!((run.mode, run.umask, &*run.run_as_groups), (RunMode::Command, Some(0o22), &[0, 4][..]));
    assert_eq!(
        (&*run.environment, &*run.settings),
        (&[Bytes(b"EDITOR=vi".to_vec())][..], &[Bytes(b"noexec=true".to_vec())][..])
    );
    let file = run.file.as_ref().unwrap();
    assert!(file.real.0.ends_with(b"/true") && file.size > 0 && file.writable(0).is_empty(), "{file:?}");
    assert_eq!(look_again(&facts), Ok(()));
}

#[test]
fn each_mode_is_told_apart() {
    let mode = |settings: &[&str], info: &[&str]| {
        let call = with(|call| {
            call.settings.extend(list(settings));
            call.command_info.extend(list(info));
        });
        collect(&call).unwrap().run.unwrap()
    };
    assert_eq!(mode(&["run_shell=true"], &[]).mode, RunMode::Shell);
    let login = mode(&["login_shell=true"], &["cwd=/root"]);
    assert_eq!((login.mode, login.start_in), (RunMode::LoginShell, Some(Bytes(b"/root".to_vec()))));
    let edit = mode(&["sudoedit=true"], &["sudoedit=true", "sudoedit_nfiles=1"]);
    assert_eq!((edit.mode, edit.file, edit.environment), (RunMode::Edit, None, vec![]));
    let again = collect(&with(|call| call.again = true)).unwrap();
    assert_eq!((again.run.unwrap().mode, again.cwd), (RunMode::Intercepted, None));
    let group = with(|call| call.command_info.push(b"runas_group=root".to_vec()));
    assert_eq!(collect(&group).unwrap().run_as.group.unwrap().as_str(), "root");
}

#[test]
fn words_that_contradict_the_kernel_are_refused() {
    for change in ["user=nobody-at-all", "uid=4711", "pid=1"] {
        let call = with(|call| call.user_info.insert(0, change.as_bytes().to_vec()));
        let error = collect(&call).unwrap_err();
        assert!(error.is_refusal(), "{change}: {error}");
    }
}

#[test]
fn what_is_unsaid_is_not_guessed() {
    for missing in ["command=", "runas_uid=", "runas_gid=", "user=", "uid=", "pid="] {
        let call = with(|call| {
            for list in [&mut call.command_info, &mut call.user_info] {
                list.retain(|entry| !entry.starts_with(missing.as_bytes()));
            }
        });
        let error = collect(&call).unwrap_err();
        assert!(matches!(error, CallError::Unsaid(_)) && !error.is_refusal(), "{missing}: {error}");
    }
    for wrong in ["command=true", "runas_uid=-1", "umask=9", "runas_groups=0,x"] {
        let call = with(|call| say(call, wrong));
        assert!(matches!(collect(&call), Err(CallError::Unsaid(_))), "{wrong}");
    }
    let odd = with(|call| call.user_info.insert(0, b"tty=/dev/\x1b[2J".to_vec()));
    assert!(matches!(collect(&odd), Err(CallError::Unsaid("the terminal"))));
    assert!(matches!(collect(&with(|call| call.argv.clear())), Err(CallError::Unsaid(_))));
}

#[test]
fn a_replaced_file_is_seen_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool");
    std::fs::write(&path, "one").unwrap();
    let command = format!("command={}", path.display());
    let facts = collect(&with(|call| say(call, &command))).unwrap();
    assert_eq!(look_again(&facts), Ok(()));
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    assert!(look_again(&facts).unwrap_err().contains("No such file"));
    std::fs::write(&path, "two").unwrap();
    assert!(look_again(&facts).unwrap_err().contains("has changed since it was shown"));
}

#[test]
fn an_opened_file_must_be_the_one_that_is_there() {
    use std::os::fd::AsRawFd as _;
    let (same, other) = (std::fs::File::open("/usr/bin/true").unwrap(), std::fs::File::open("/usr/bin/false").unwrap());
    let opened = |file: &std::fs::File| {
        let entry = format!("execfd={}", file.as_raw_fd());
        collect(&with(|call| call.command_info.push(entry.into_bytes())))
    };
    assert!(opened(&same).is_ok());
    assert!(matches!(opened(&other), Err(CallError::Swapped(_))));
}

#[test]
fn an_unsafe_environment_is_refused() {
    let preload = with(|call| call.envp.push(b"LD_PRELOAD=/tmp/x.so".to_vec()));
    assert!(collect(&preload).unwrap_err().is_refusal());
    let path = with(|call| call.envp.push(b"PATH=/tmp".to_vec()));
    assert!(collect(&path).unwrap_err().is_refusal());
}

#[test]
fn what_sudo_says_twice_is_refused_because_the_last_would_run() {
    for (name, second) in [("command", "command=/usr/bin/id"), ("runas_uid", "runas_uid=1"), ("umask", "umask=000")] {
        let error = collect(&with(|call| call.command_info.push(second.into()))).unwrap_err();
        assert!(matches!(error, CallError::Unsaid(said) if said == name), "{error}");
    }
}
