//! What an approver should be careful about, computed from the bound facts, so that no host can leave it out.

use serde::{Deserialize, Serialize};

use super::run::{RunMode, SudoRun, word};
use super::{Detail, Label};
use crate::text::command_line;

/// A reason to look twice. Whoever shows it has the words; the detail's value says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Flag {
    /// Somebody other than root can change what runs; the value says which files or folders.
    Writable,
    /// An interpreter runs code from its own arguments; the value is the interpreter.
    InlineCode,
    /// A shell or another interpreter that takes commands afterwards; the value is its path.
    Shell,
    /// A program from which other commands can be started; the value is its path.
    ShellEscape,
    /// A script, whose content and what it reads are not bound; the value is its path.
    Script,
    /// A script named relative to the directory it starts in; the value is that name.
    RelativeScript,
    /// Variables of the requester reach the program; the value names them.
    Environment,
    /// Files are edited, and what will be written is not known yet; the value lists them.
    Edit,
    /// It runs in another root directory; the value is that directory.
    ChangedRoot,
}

/// What interprets code, with the short options and the long ones that take code as an argument.
const INTERPRETERS: &[(&[&str], &[u8], &[&str])] = &[
    (&["sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh"], b"c", &["command"]),
    (&["python", "pypy"], b"cm", &[]),
    (&["perl"], b"eE", &[]),
    (&["ruby", "lua", "luajit", "Rscript"], b"e", &[]),
    (&["node", "nodejs", "deno", "bun"], b"ep", &["eval", "print"]),
    (&["php"], b"rBRE", &["run"]),
    (&["tclsh", "wish", "expect"], b"c", &[]),
    (&["guile", "racket", "irb", "julia"], b"ceE", &["eval"]),
];

/// Programs from which other commands can be started: editors, pagers, and what runs its arguments.
const ESCAPES: &[&str] = &[
    "ansible",
    "apt",
    "apt-get",
    "at",
    "awk",
    "aptitude",
    "batch",
    "busybox",
    "capsh",
    "chroot",
    "chrt",
    "crontab",
    "dc",
    "dmesg",
    "docker",
    "dpkg",
    "ed",
    "editor",
    "emacs",
    "env",
    "ex",
    "find",
    "flock",
    "ftp",
    "gawk",
    "gdb",
    "git",
    "gzip",
    "help2man",
    "ionice",
    "ip",
    "jjs",
    "joe",
    "journalctl",
    "jq",
    "kubectl",
    "ld.so",
    "less",
    "ltrace",
    "machinectl",
    "make",
    "man",
    "mawk",
    "mc",
    "more",
    "most",
    "mysql",
    "nano",
    "nawk",
    "nc",
    "neovim",
    "nice",
    "nmap",
    "nohup",
    "nsenter",
    "nvim",
    "parallel",
    "pdb",
    "pico",
    "pg",
    "pip",
    "pkexec",
    "podman",
    "psql",
    "rpm",
    "rsync",
    "rvim",
    "run-parts",
    "scp",
    "screen",
    "script",
    "scriptreplay",
    "sed",
    "setarch",
    "setpriv",
    "setsid",
    "sftp",
    "socat",
    "split",
    "sqlite",
    "ssh",
    "ssh-agent",
    "start-stop-daemon",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "systemctl",
    "systemd-run",
    "tar",
    "taskset",
    "tcpdump",
    "telnet",
    "time",
    "timeout",
    "tmux",
    "top",
    "unshare",
    "vi",
    "view",
    "vim",
    "vimdiff",
    "visudo",
    "vipw",
    "watch",
    "wget",
    "xargs",
    "xterm",
    "xxd",
    "yum",
    "dnf",
    "zip",
    "zless",
    "zmore",
];

/// The flags of one run, in the order to show them.
pub(super) fn flags(run: &SudoRun, argv: &[Vec<u8>]) -> Vec<Detail> {
    let mut found = Vec::new();
    let mut flag = |flag, value: String| found.push(Detail { label: Label::Flag(flag), value });
    if run.mode == RunMode::Edit {
        flag(Flag::Edit, command_line(SudoRun::edited(argv)));
    }
    if let Some(root) = &run.root {
        flag(Flag::ChangedRoot, word(&root.0));
    }
    if !run.environment.is_empty() {
        let name = |entry: &[u8]| word(entry.split(|b| *b == b'=').next().unwrap_or_default());
        let names: Vec<String> = run.environment.iter().map(|entry| name(&entry.0)).collect();
        flag(Flag::Environment, names.join(", "));
    }
    // sudoedit's editor is the requester's own program under the requester's own rights.
    let Some(file) = &run.file else { return found };
    let writable = file.writable(run.run_as_uid);
    if !writable.is_empty() {
        flag(Flag::Writable, writable.into_iter().map(word).collect::<Vec<_>>().join(", "));
    }
    let path = word(&run.path.0);
    // By the name it was found under and by the file it is: /usr/bin/editor is some editor.
    let names = [program(&run.path.0), program(&file.real.0)];
    let arguments = argv.get(1..).unwrap_or_default();
    if let Some((_, short, long)) =
        INTERPRETERS.iter().find(|(known, ..)| names.iter().any(|name| known.contains(&name.as_str())))
    {
        match interpreted(arguments, short, long) {
            Interpreted::Inline => flag(Flag::InlineCode, path),
            Interpreted::Nothing => flag(Flag::Shell, path),
            Interpreted::Script(script) => {
                flag(Flag::Script, word(script));
                if !script.starts_with(b"/") {
                    flag(Flag::RelativeScript, word(script));
                }
            }
        }
    } else if names.iter().any(|name| ESCAPES.contains(&name.as_str())) {
        flag(Flag::ShellEscape, path);
    } else if file.interpreter.is_some() {
        flag(Flag::Script, path);
    }
    found
}

enum Interpreted<'a> {
    Inline,
    Script(&'a [u8]),
    Nothing,
}

/// What an interpreter is told to run. Read generously: whatever may be code counts as code.
fn interpreted<'a>(arguments: &'a [Vec<u8>], short: &[u8], long: &[&str]) -> Interpreted<'a> {
    let mut rest = arguments.iter().map(Vec::as_slice);
    while let Some(argument) = rest.next() {
        if argument == b"--" {
            return rest.next().map_or(Interpreted::Nothing, Interpreted::Script);
        }
        if let Some(name) = argument.strip_prefix(b"--") {
            let name = name.split(|b| *b == b'=').next().unwrap_or_default();
            if long.iter().any(|long| long.as_bytes() == name) {
                return Interpreted::Inline;
            }
        } else if let Some(letters) = argument.strip_prefix(b"-").or_else(|| argument.strip_prefix(b"+")) {
            if letters.iter().any(|letter| short.contains(letter)) {
                return Interpreted::Inline;
            }
        } else {
            return Interpreted::Script(argument);
        }
    }
    Interpreted::Nothing
}

/// The file's name without a version: `python3.11` is `python`.
fn program(path: &[u8]) -> String {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let bare = bare.strip_suffix(".tiny").or_else(|| bare.strip_suffix(".basic")).unwrap_or(bare);
    bare.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::run::{FileFacts, Folder};
    use super::*;
    use crate::wire::v1::Bytes;

    fn run(path: &str) -> SudoRun {
        let file = FileFacts {
            real: Bytes(path.into()),
            device: 1,
            inode: 2,
            uid: 0,
            gid: 0,
            mode: 0o100_755,
            size: 3,
            changed_secs: 4,
            changed_nanos: 5,
            interpreter: None,
            folders: vec![Folder { path: Bytes(b"/".to_vec()), uid: 0, gid: 0, mode: 0o40_755 }],
        };
        SudoRun {
            mode: RunMode::Command,
            requester_uid: 1000,
            run_as_uid: 0,
            run_as_gid: 0,
            run_as_groups: vec![0],
            path: Bytes(path.into()),
            file: Some(file),
            start_in: None,
            root: None,
            umask: Some(0o22),
            environment: vec![],
            settings: vec![],
        }
    }

    fn found(run: &SudoRun, line: &str) -> Vec<(Flag, String)> {
        let argv: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let flag = |detail: Detail| match detail.label {
            Label::Flag(flag) => (flag, detail.value),
            label => panic!("{label:?} is no flag"),
        };
        flags(run, &argv).into_iter().map(flag).collect()
    }

    #[test]
    fn interpreters_shells_and_escapes_are_told() {
        for (path, line, expected) in [
            ("/usr/bin/id", "id -u", vec![]),
            ("/bin/sh", "sh -c reboot", vec![Flag::InlineCode]),
            ("/bin/bash", "bash -xc reboot", vec![Flag::InlineCode]),
            ("/usr/bin/python3.11", "python3 -Ic x", vec![Flag::InlineCode]),
            ("/usr/bin/perl", "perl -ne x", vec![Flag::InlineCode]),
            ("/usr/bin/node", "node --eval=x", vec![Flag::InlineCode]),
            ("/bin/bash", "bash", vec![Flag::Shell]),
            ("/bin/bash", "-bash", vec![Flag::Shell]),
            ("/usr/bin/python3", "python3 /opt/x.py -c", vec![Flag::Script]),
            ("/bin/sh", "sh ./x.sh", vec![Flag::Script, Flag::RelativeScript]),
            ("/usr/bin/vim.tiny", "vim /etc/hosts", vec![Flag::ShellEscape]),
            ("/usr/bin/less", "less x", vec![Flag::ShellEscape]),
            ("/usr/bin/env", "env sh -c x", vec![Flag::ShellEscape]),
        ] {
            let flags: Vec<Flag> = found(&run(path), line).into_iter().map(|(flag, _)| flag).collect();
            assert_eq!(flags, expected, "{line}");
        }
    }

    #[test]
    fn what_others_can_change_is_told_with_its_place() {
        let mut home = run("/home/ann/x");
        let file = home.file.as_mut().unwrap();
        file.folders.push(Folder { path: Bytes(b"/home/ann".to_vec()), uid: 1000, gid: 1000, mode: 0o40_700 });
        file.folders.push(Folder { path: Bytes(b"/tmp".to_vec()), uid: 0, gid: 0, mode: 0o41_777 });
        file.folders.push(Folder { path: Bytes(b"/srv\xff".to_vec()), uid: 0, gid: 4, mode: 0o42_775 });
        file.mode = 0o100_757;
        assert_eq!(found(&home, "x"), [(Flag::Writable, "/home/ann, $'/srv\\xff', /home/ann/x".to_owned())]);
        home.run_as_uid = 1000;
        assert_eq!(found(&home, "x"), [(Flag::Writable, "$'/srv\\xff', /home/ann/x".to_owned())]);
    }

    #[test]
    fn edits_roots_scripts_and_variables_are_told() {
        let mut odd = run("/usr/sbin/adduser");
        odd.file.as_mut().unwrap().interpreter = Some(Bytes(b"/usr/bin/perl".to_vec()));
        odd.root = Some(Bytes(b"/srv".to_vec()));
        odd.environment = vec![Bytes(b"PS1=x".to_vec()), Bytes(b"EDITOR=vi".to_vec())];
        let expected =
            [(Flag::ChangedRoot, "/srv"), (Flag::Environment, "PS1, EDITOR"), (Flag::Script, "/usr/sbin/adduser")];
        assert_eq!(found(&odd, "adduser"), expected.map(|(flag, value)| (flag, value.to_owned())));
        let edit = SudoRun { mode: RunMode::Edit, file: None, ..run("/usr/bin/editor") };
        assert_eq!(found(&edit, "/usr/bin/editor -- /etc/hosts x"), [(Flag::Edit, "/etc/hosts x".to_owned())]);
    }
}
