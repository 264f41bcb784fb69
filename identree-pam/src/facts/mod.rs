//! Who asks for what: from PAM's items, from procfs and from sudo itself, never from what the caller could set.

pub(crate) mod approval;
mod login;
mod pam;
pub(crate) mod procfs;
pub(crate) mod sudo_options;

use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use identree_core::challenge::{CommandSource, RunAs, SudoFacts};
use identree_core::id::{NameError, UnixGroup, UserName};
use identree_core::text::visible;
use nix::unistd::{Gid, Group, Uid, User};

pub use self::approval::mapped::{PLUGIN, plugin_is_loaded};
pub use self::approval::{CallError, SudoCall, collect_call, look_again};
pub use self::login::login;
pub use self::pam::{PamError, PamItems, Phase, Program, each_once};

/// The longest reason that is passed on, in characters.
const MAX_REASON_CHARS: usize = 500;

/// The process that asks, so that no other can use its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot: with the pid it names one process of this boot.
    pub start_time: u64,
}

/// Why the facts are not certain enough to ask.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// procfs does not say it.
    #[error("cannot read {what} of process {pid} from /proc; is /proc mounted, and does pam_exec have `seteuid`?")]
    Procfs {
        /// What was to be read.
        what: &'static str,
        /// Of which process.
        pid: u32,
    },
    /// The uid or gid has no name here.
    #[error("{what} {id} has no name on this host; check `getent {database} {id}`")]
    NoName {
        /// User or group.
        what: &'static str,
        /// The number.
        id: u32,
        /// Where to look.
        database: &'static str,
    },
    /// PAM names somebody else than the kernel does.
    #[error("PAM says that '{pam}' asks, the kernel says it is '{kernel}'; refused")]
    Contradiction {
        /// `PAM_RUSER`, made visible.
        pam: String,
        /// The name of the real uid.
        kernel: UserName,
    },
    /// sudo's options could not be read.
    #[error("cannot tell from the options of sudo as whom it would run; write them out in full")]
    Options,
    /// A name that identree does not allow.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name service did not answer.
    #[error("the name service of this host failed: {0}")]
    NameService(nix::errno::Errno),
}

impl FactsError {
    /// Whether somebody tried to pass for another, rather than something being set up wrongly.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Contradiction { .. })
    }
}

/// Names the calling process.
///
/// # Errors
/// [`FactsError::Procfs`] if it is gone or cannot be seen.
pub fn caller(pid: u32) -> Result<Caller, FactsError> {
    let what = "the start time";
    start_time_of(pid).map(|start_time| Caller { pid, start_time }).ok_or(FactsError::Procfs { what, pid })
}

pub(crate) fn start_time_of(pid: u32) -> Option<u64> {
    procfs::start_time(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Collects what is asked. The person is the real user of the calling process; `PAM_RUSER`, when set, must be the same.
///
/// The working directory and the stated reason may be missing; everything else must be certain.
///
/// # Errors
/// [`FactsError`] for anything that is not.
pub fn collect(pam: &PamItems, caller: Caller) -> Result<SudoFacts, FactsError> {
    let pid = caller.pid;
    let read = |file: &str, what| fs::read(format!("/proc/{pid}/{file}")).map_err(|_| FactsError::Procfs { what, pid });
    let unreadable = |what| FactsError::Procfs { what, pid };

    let uid = procfs::real_uid(&read("status", "the user")?).ok_or_else(|| unreadable("the user"))?;
    let requester = user_name(uid)?;
    if let Some(ruser) = &pam.ruser
        && ruser != requester.as_str()
        && User::from_name(ruser).ok().flatten().is_none_or(|user| user.uid.as_raw() != uid)
    {
        return Err(FactsError::Contradiction { pam: visible(ruser).into_owned(), kernel: requester });
    }
    let argv = procfs::arguments(&read("cmdline", "the command line")?);
    if argv.is_empty() {
        return Err(unreadable("the command line"));
    }
    let run_as = match pam.program {
        Program::Sudo => sudo_run_as(&argv, &requester)?,
        Program::Su | Program::Login(_) => RunAs { user: UserName::parse(&pam.user)?, group: None },
    };
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok().map(|path| path.into_os_string().into_vec());
    let reason = fs::read(format!("/proc/{pid}/environ")).ok().and_then(|environ| {
        let stated = String::from_utf8_lossy(procfs::variable(&environ, "SUDO_REASON")?)
            .trim()
            .chars()
            .take(MAX_REASON_CHARS)
            .collect();
        Some(stated).filter(|reason: &String| !reason.is_empty())
    });
    Ok(SudoFacts {
        service: pam.service.clone(),
        requester,
        run_as,
        source: CommandSource::CallerCommandLine,
        argv,
        cwd,
        tty: pam.tty.clone(),
        reason,
        run: None,
    })
}

/// sudo's defaults: root; with a group alone, the person.
fn sudo_run_as(argv: &[Vec<u8>], requester: &UserName) -> Result<RunAs, FactsError> {
    let options = sudo_options::run_as(argv).map_err(|_| FactsError::Options)?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| FactsError::Options);
    let group = options.group.map(text).transpose()?.map(|name| match name.strip_prefix('#') {
        Some(digits) => group_name(number(digits)?),
        None => Ok(UnixGroup::parse(&name)?),
    });
    let group = group.transpose()?;
    let user = match options.user.map(text).transpose()? {
        Some(name) => match name.strip_prefix('#') {
            Some(digits) => user_name(number(digits)?)?,
            None => run_as_name(&name)?,
        },
        None if group.is_some() => requester.clone(),
        None => UserName::parse("root")?,
    };
    Ok(RunAs { user, group })
}

/// The number behind `#`. sudo takes signs and spaces too (`#-0` is root); here they would pass for part of a name.
fn number(digits: &str) -> Result<u32, FactsError> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().ok_or(FactsError::Options)
}

/// The first name of the account that `name` means: what runs as a second name of uid 0 runs as root.
fn run_as_name(name: &str) -> Result<UserName, FactsError> {
    let stated = UserName::parse(name)?;
    match User::from_name(name).map_err(FactsError::NameService)? {
        Some(user) => user_name(user.uid.as_raw()),
        // sudo itself refuses it.
        None => Ok(stated),
    }
}

fn user_name(uid: u32) -> Result<UserName, FactsError> {
    let user = User::from_uid(Uid::from_raw(uid)).map_err(FactsError::NameService)?;
    let user = user.ok_or(FactsError::NoName { what: "uid", id: uid, database: "passwd" })?;
    Ok(UserName::parse(&user.name)?)
}

fn group_name(gid: u32) -> Result<UnixGroup, FactsError> {
    let group = Group::from_gid(Gid::from_raw(gid)).map_err(FactsError::NameService)?;
    let group = group.ok_or(FactsError::NoName { what: "gid", id: gid, database: "group" })?;
    Ok(UnixGroup::parse(&group.name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_items(ruser: Option<&str>) -> PamItems {
        let items = [("PAM_SERVICE", "su"), ("PAM_TYPE", "auth"), ("PAM_USER", "root")].into_iter();
        let items = items.chain(ruser.map(|name| ("PAM_RUSER", name)));
        PamItems::from_variables(|name| items.clone().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
            .unwrap()
    }

    #[test]
    fn the_kernel_says_who_asks() {
        let me = caller(std::process::id()).unwrap();
        let facts = collect(&own_items(None), me).unwrap();
        let name = User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
        assert_eq!(facts.requester.as_str(), name);
        assert_eq!(facts.argv[0], std::env::args_os().next().unwrap().into_vec());
        assert_eq!(facts.cwd, Some(std::env::current_dir().unwrap().into_os_string().into_vec()));
        assert!(collect(&own_items(Some(&name)), me).is_ok());
        let error = collect(&own_items(Some("nobody-at-all")), me).unwrap_err();
        assert!(error.is_refusal(), "{error}");
    }

    #[test]
    fn a_process_that_is_gone_says_nothing() {
        assert!(matches!(caller(u32::MAX), Err(FactsError::Procfs { .. })));
    }

    #[test]
    fn run_as_follows_sudo() {
        let requester = UserName::parse("ann").unwrap();
        let read = |line: &str| {
            let argv: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            sudo_run_as(&argv, &requester)
                .map(|r| (r.user.to_string(), r.group.map(|g| g.to_string())))
                .map_err(|e| e.to_string())
        };
        assert_eq!(read("sudo id"), Ok(("root".into(), None)));
        assert_eq!(read("sudo -u #0 id"), Ok(("root".into(), None)));
        assert_eq!(read("sudo -g #0 id"), Ok(("ann".into(), Some("root".into()))));
        assert!(read("sudo -u #4294967294 id").is_err());
        // sudo 1.9.13 runs `-u #-0` as root; nothing that it takes for a number may pass for a name.
        for odd in ["#-0", "#+0", "#", "#0x0", "#-1"] {
            assert!(read(&format!("sudo -u {odd} id")).is_err(), "{odd}");
            assert!(read(&format!("sudo -g {odd} id")).is_err(), "{odd}");
        }
        assert!(read("sudo -u a/b id").is_err());
        assert!(read("sudo -u").is_err());
    }
}
