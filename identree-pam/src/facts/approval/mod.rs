//! Who is about to run what, as classic sudo tells its approval plugin (`sudo_plugin(5)`): sudo's own words and the files
//! it names, nothing that the caller could set.

mod environment;
mod file;
pub(crate) mod mapped;
mod pairs;

use identree_core::challenge::{CommandSource, RunAs, RunMode, SudoFacts, SudoRun};
use identree_core::id::ServiceName;
use identree_core::text::{is_hidden, visible, visible_bytes};
use identree_core::wire::v1::Bytes;
use nix::unistd::{Uid, User};
use rustix::io::Errno;

pub(crate) use self::pairs::Pairs;
use super::{FactsError, MAX_REASON_CHARS, group_name, user_name};

/// What sudo hands over, copied: lists of `name=value`, except the two argument vectors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SudoCall {
    /// Whether this process of sudo has asked before: then it is about what an approved command starts.
    pub again: bool,
    /// What was configured and typed.
    pub settings: Vec<Vec<u8>>,
    /// Who called.
    pub user_info: Vec<Vec<u8>>,
    /// The caller's environment; only the stated reason is taken from it.
    pub submit_envp: Vec<Vec<u8>>,
    /// What sudo decided to run.
    pub command_info: Vec<Vec<u8>>,
    /// The arguments it will be given.
    pub argv: Vec<Vec<u8>>,
    /// The environment it will be given.
    pub envp: Vec<Vec<u8>>,
}

/// Why sudo's words make no question.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Missing, or not of the form that `sudo_plugin(5)` gives it.
    #[error("sudo does not say {0} as sudo_plugin(5) has it; this plugin knows sudo 1.9.4 to 1.9.17")]
    Unsaid(&'static str),
    /// Who asks, or as whom it would run, is not certain.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The program cannot be looked at.
    #[error("{path}: {cause}; what runs must be a file that can be looked at")]
    File {
        /// Which one, made visible.
        path: String,
        /// What the system says.
        cause: Errno,
    },
    /// What sudo has opened is not what is there.
    #[error("{0}: is not the file that sudo has opened; it was replaced meanwhile")]
    Swapped(String),
    /// A variable that makes a program run other code.
    #[error(
        "the variable {0} would make the command run other code; take it out of env_keep in sudoers, and neither set it \
         on sudo's command line nor keep it with -E"
    )]
    Variable(String),
    /// A folder in `PATH` that others can write.
    #[error("PATH names {0}, where somebody else than root can put programs; set secure_path in sudoers")]
    Path(String),
}

impl CallError {
    /// Whether the call itself is unsafe, rather than something being set up wrongly.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Variable(_) | Self::Path(_) | Self::Swapped(_) => true,
            Self::Facts(error) => error.is_refusal(),
            Self::Unsaid(_) | Self::File { .. } => false,
        }
    }
}

/// Collects what is asked. `real_uid` and `pid` are the kernel's word for the sudo process; sudo's must be the same.
///
/// # Errors
/// [`CallError`] for anything that is not certain, and for a run that is not to be approved by anybody.
pub fn collect_call(call: &SudoCall, real_uid: u32, pid: u32) -> Result<SudoFacts, CallError> {
    let [settings, user, command] = [&call.settings, &call.user_info, &call.command_info].map(|list| Pairs::of(list));
    let need = |pairs: &Pairs<'_>, name, what| pairs.number(name).ok_or(CallError::Unsaid(what));

    if let Some(name) = pairs::twice(&call.command_info) {
        return Err(CallError::Unsaid(name));
    }
    let requester = user_name(real_uid)?;
    let (stated, uid) = (user.text("user").ok_or(CallError::Unsaid("who asks"))?, need(&user, "uid", "who asks")?);
    let same = stated == requester.as_str()
        || User::from_name(stated).ok().flatten().is_some_and(|user| user.uid.as_raw() == real_uid);
    if !same || uid != real_uid || need(&user, "pid", "its process")? != pid {
        return Err(FactsError::Contradiction { pam: visible(stated).into_owned(), kernel: requester }.into());
    }

    let run_as_uid = need(&command, "runas_uid", "as whom it runs")?;
    let run_as_gid = need(&command, "runas_gid", "as whom it runs")?;
    let group = command.get("runas_group").map(|_| group_name(run_as_gid)).transpose()?;
    let run_as = RunAs { user: user_name(run_as_uid)?, group };
    let groups = if command.flag("preserve_groups") { user.get("groups") } else { command.get("runas_groups") };
    let run_as_groups = groups.map_or(Some(Vec::new()), pairs::numbers).ok_or(CallError::Unsaid("the groups"))?;

    let mode = if call.again { RunMode::Intercepted } else { mode(&settings, &command) };
    let path = command.get("command").filter(|path| path.starts_with(b"/")).ok_or(CallError::Unsaid("the command"))?;
    if call.argv.first().is_none_or(Vec::is_empty) {
        return Err(CallError::Unsaid("the arguments"));
    }
    let root = command.get("chroot");
    let umask = command.get("umask").map(|umask| pairs::octal(umask).ok_or(CallError::Unsaid("the umask")));
    let (file, environment) = if mode == RunMode::Edit {
        // The editor is the requester's program, runs as the requester, and has the requester's environment.
        (None, Vec::new())
    } else {
        let file = file::look(root, path)?;
        if let Some(opened) = command.number("execfd") {
            file::same_as_opened(&file, opened)?;
        }
        let account = command.text("runas_user").and_then(|name| User::from_name(name).ok().flatten());
        let account = account.filter(|account| account.uid.as_raw() == run_as_uid);
        let account = account.or_else(|| User::from_uid(Uid::from_raw(run_as_uid)).ok().flatten());
        let clean = environment::Clean { user: &user, path, mode, account: account.as_ref() };
        let kept = environment::kept(&call.envp, &clean)?;
        environment::check_path(&call.envp, root, run_as_uid)?;
        (Some(file), kept)
    };
    let run = SudoRun {
        mode,
        requester_uid: uid,
        run_as_uid,
        run_as_gid,
        run_as_groups,
        path: Bytes(path.to_vec()),
        file,
        start_in: command.get("cwd").map(|path| Bytes(path.to_vec())),
        root: root.map(|path| Bytes(path.to_vec())),
        umask: umask.transpose()?,
        environment,
        settings: pairs::remaining(&call.command_info),
    };
    Ok(SudoFacts {
        service: ServiceName::parse("sudo").map_err(FactsError::Name)?,
        requester,
        run_as,
        source: CommandSource::ApprovalPlugin,
        argv: call.argv.clone(),
        // What sudo says is where sudo itself was started.
        cwd: user.get("cwd").filter(|_| !call.again).map(<[u8]>::to_vec),
        tty: user.get("tty").filter(|tty| !tty.is_empty()).map(terminal).transpose()?,
        reason: reason(&call.submit_envp),
        run: Some(Box::new(run)),
    })
}

/// Looks at the file again, as it was approved. Nothing to look at is nothing that changed.
///
/// # Errors
/// What has become of it, in words; then the approval is for something that is not there any more.
pub fn look_again(facts: &SudoFacts) -> Result<(), String> {
    let Some(run) = &facts.run else { return Ok(()) };
    let Some(before) = &run.file else { return Ok(()) };
    let shown = visible_bytes(&run.path.0);
    match file::look(run.root.as_ref().map(|root| root.0.as_slice()), &run.path.0) {
        Ok(now) if now == *before => Ok(()),
        Ok(_) => Err(format!("{shown} has changed since it was shown to the approver; run the command again")),
        Err(error) => Err(error.to_string()),
    }
}

fn mode(settings: &Pairs<'_>, command: &Pairs<'_>) -> RunMode {
    if command.flag("sudoedit") || settings.flag("sudoedit") {
        RunMode::Edit
    } else if settings.flag("login_shell") {
        RunMode::LoginShell
    } else if settings.flag("run_shell") {
        RunMode::Shell
    } else {
        RunMode::Command
    }
}

/// A name of the kernel's making, so anything odd in it is a mistake.
fn terminal(name: &[u8]) -> Result<String, CallError> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.chars().any(is_hidden));
    name.map(str::to_owned).ok_or(CallError::Unsaid("the terminal"))
}

/// `SUDO_REASON` of the caller, in one line.
fn reason(environment: &[Vec<u8>]) -> Option<String> {
    let stated = Pairs::of(environment).get("SUDO_REASON")?;
    let stated = String::from_utf8_lossy(stated);
    let stated: String = visible(stated.trim()).chars().take(MAX_REASON_CHARS).collect();
    Some(stated).filter(|reason| !reason.is_empty())
}

#[cfg(test)]
mod tests;
