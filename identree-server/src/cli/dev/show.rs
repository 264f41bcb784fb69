//! Every sentence of `identree dev`.

use identree_core::id::UserName;
use identree_core::text::visible;
use identree_pam::Verdict;

use super::question::Ended;
use super::start::Running;

/// What runs, and how to use it.
pub(super) fn banner(running: &Running) -> String {
    let people = running.people.iter().map(UserName::as_str).collect::<Vec<_>>().join(", ");
    let dir = running.place.dir().display();
    let kept = if running.place.is_kept() { "kept" } else { "removed at the end; --data DIR keeps it" };
    let lines = |commands: &[String]| commands.iter().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "identree dev: a demonstration on this machine. Every user of this machine can be anyone in it.\n\
         \n\
         \x20 Browser    {browser}  (sign in as one of {people}; there are no passwords)\n\
         \x20 Hosts      {hosts}  (under its own authority, {ca})\n\
         \x20 Provider   {provider}\n\
         \x20 Host file  {conf}\n\
         \x20 Data       {dir}  ({kept})\n\
         \n\
         To let real sudo on this machine ask here, as root (it replaces a host file that is there; then README.md, \
         \"Protect sudo\"):\n\
         {install}\
         and to undo that:\n\
         {undo}",
        browser = running.external_url.as_str().trim_end_matches('/'),
        hosts = running.host_url,
        ca = running.certificates.ca.display(),
        conf = running.host_file.path.display(),
        provider = running.provider_url,
        install = lines(&running.host_file.install),
        undo = lines(std::slice::from_ref(&running.host_file.undo)),
    )
}

/// What the environment says to a server and not to this one, which has settings of its own; nothing if that is nothing.
pub(super) fn not_looked_at<'a>(set: impl Iterator<Item = &'a str>) -> String {
    let ours =
        |name: &&str| name.starts_with("IDENTREE_") && !["IDENTREE_LOG_LEVEL", "IDENTREE_LOG_FORMAT"].contains(name);
    let names: Vec<_> = set.filter(ours).collect();
    if names.is_empty() {
        return String::new();
    }
    let names = names.join(", ");
    format!("identree dev has settings of its own; set in the environment and not looked at here: {names}\n")
}

/// Before the question.
pub(super) const AS_A_USER_SEES_IT: &str = "\nNow a `sudo whoami`, as a user sees it:\n";

/// After the verdict, which the client has shown already.
pub(super) fn after(ended: &Ended) -> String {
    let (word, by) = match &ended.verdict {
        Verdict::Granted(grant) => ("Approved", grant.answer().extra("by")),
        Verdict::Refused(answer) => ("Refused", answer.extra("by")),
        _ => return String::new(),
    };
    match (by, ended.from_tap) {
        (Some(by), Some(time)) => {
            format!("\n{word} by {}; {} ms from the tap to the answer at the client.", visible(by), time.as_millis())
        }
        _ => String::new(),
    }
}

/// When somebody can press it.
pub(super) const AGAIN: &str = "Press Enter to ask again, Ctrl-C to end.";
/// When nobody can.
pub(super) const CTRL_C: &str = "Ctrl-C ends it.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_looked_at_is_named() {
        let names = ["IDENTREE_AUDIT_LOG", "IDENTREE_LOG_LEVEL", "OTEL_SERVICE_NAME"];
        let said = not_looked_at(names.into_iter());
        assert!(said.ends_with("not looked at here: IDENTREE_AUDIT_LOG\n"), "{said}");
        assert_eq!(not_looked_at(names[1..].iter().copied()), "");
    }
}
