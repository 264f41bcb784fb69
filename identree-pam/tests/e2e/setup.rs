//! `identree setup` and `--remove` on a whole host: Debian's own PAM stacks, real sudo and su.

use std::path::PathBuf;

use identree_core::grant::Decision;

use super::host::{Host, PASSWORD, module};
use crate::server::{Act, Seen, Server, State, problem};

/// A server that knows this host and answers each question like that, at once.
pub(super) fn answering(decision: Decision) -> Server {
    Server::start(move |state: &State, seen: &Seen, _| -> Act {
        match &seen.question {
            Some(question) => state.end(question.clone(), decision),
            None => problem(404, "no such question"),
        }
    })
}

/// With the module, the way a package installs it.
pub(super) fn host(server: &Server) -> Option<Host> {
    module().and_then(|module: PathBuf| Host::new(server, Some(module)))
}

/// A port of loopback where nobody listens.
pub(super) fn nowhere() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// argon2id of the word `password`, made by the reference program.
pub(super) const HASH: &str = "printf '%s\\n' '$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$hPsAa7w81piVcitktb9zUlGp6Onz7Lk/9ZW5iut6zLc' >/run/hash";
pub(super) const SETUP: &str = "$SETUP setup --break-glass-hash /run/hash";

#[test]
fn after_setup_sudo_asks_and_after_remove_everything_is_as_it_was() {
    let server = answering(Decision::Granted);
    let Some(host) = host(&server) else { return };
    let (code, output) = host.root(&format!(
        "{HASH}; before=$(files)
         {SETUP} --service sudo --service sudo-i --service su --service su-l || exit 1
         echo '== in'; ann 'sudo whoami'; ann 'sudo -i whoami'; ann 'su -c whoami root'; ann 'su -l -c whoami root'
         ann 'sudo -n true' && echo \"== and for NOPASSWD\"
         stat -c '%n %a %U' /etc/identree-breakglass /var/lib/identree-host /var/lib/identree-host/setup
         su -c 'echo == root passes' ann
         $SETUP setup --break-glass-hash /run/hash
         echo '== out'; $SETUP setup --remove; [ \"$before\" = \"$(files)\" ] && echo '== the same'
         ls /etc/pam.d | grep identree; ls -A /var/lib/identree-host/setup"
    ));
    assert_eq!(code, 0, "{output}");
    let gated = output.split("== in").nth(1).unwrap().split("== out").next().unwrap();
    assert_eq!(gated.matches("approved by bob").count(), 4, "{output}");
    assert_eq!(gated.lines().filter(|line| *line == "root").count(), 4, "{output}");
    assert!(output.contains("/etc/identree-breakglass 600 root\n/var/lib/identree-host 700 root"), "{output}");
    assert!(output.contains("== root passes"), "root's own su is asked nothing: {output}");
    assert!(output.contains("everything was in place already"), "{output}");
    assert!(output.contains("== the same"), "{output}");
    assert!(output.contains("/etc/pam.d/su-l: asks already, through a file that it includes"), "{output}");
    assert_eq!(output.lines().last(), Some("room"), "no record is left: {output}");
}

#[test]
fn a_denial_stays_one_and_the_break_glass_password_is_the_way_back() {
    let server = answering(Decision::Denied);
    let gone = nowhere();
    let Some(host) = host(&server) else { return };
    let (code, output) = host.root(&format!(
        "{HASH}; {SETUP} || exit 1; ann 'sudo whoami'
         echo '== gone'; sed -i 's/^IDENTREE_SERVER_URL=.*/IDENTREE_SERVER_URL=https:\\/\\/127.0.0.1:{gone}/' /etc/identree/client.conf
         ann 'echo wrong | sudo -S whoami'; ann 'echo password | sudo -S whoami'
         echo password | $SETUP verify-breakglass && echo other | $SETUP verify-breakglass; echo \"== code $?\"
         cat /var/lib/identree-host/glass/used"
    ));
    assert_eq!(code, 0, "{output}");
    let (asked, gone) = output.split_once("== gone").unwrap();
    assert!(asked.contains("denied by bob") && !asked.contains("\nroot"), "{output}");
    assert!(gone.contains("that is not the break-glass password") && gone.contains("its use is recorded"), "{output}");
    assert_eq!(gone.lines().filter(|line| line.ends_with("root") && !line.contains("sudo")).count(), 1, "{output}");
    assert!(gone.contains("== code 1") && gone.ends_with(" ann sudo root\n"), "{output}");
}

#[test]
fn a_dry_run_prints_a_diff_and_touches_nothing() {
    let server = answering(Decision::Granted);
    let Some(host) = host(&server) else { return };
    let (code, output) = host.root(
        "before=$(files); $SETUP setup --dry-run --auditd --service su --service sudo || exit 1
         [ \"$before\" = \"$(files)\" ] && echo '== the same'; ls /var/lib /etc/identree-breakglass",
    );
    assert!(output.contains("--- /etc/pam.d/sudo\n+++ /etc/pam.d/sudo\n@@ -1,"), "{output}");
    assert!(output.contains("+auth     requisite  /usr/libexec/identree/pam_identree.so\n"), "{output}");
    assert!(output.contains("-@include common-auth\n+#identree setup: @include common-auth\n"), "{output}");
    assert!(output.contains("+account  [success=1 default=ignore] pam_rootok.so\n"), "{output}");
    assert!(
        output.contains("+++ /etc/sudoers.d/identree") && output.contains("+Defaults timestamp_timeout=0"),
        "{output}"
    );
    assert!(output.contains("+-w /etc/identree/ -p wa -k identree-config"), "{output}");
    assert!(output.contains("== the same") && !output.contains("identree-host\n"), "{output}");
    assert_ne!(code, 0, "there is no break-glass file yet: {output}");
}

#[test]
fn killed_at_every_step_nobody_is_locked_out_nor_let_in() {
    for (decision, opens) in [(Decision::Granted, true), (Decision::Denied, false)] {
        let server = answering(decision);
        let Some(host) = host(&server) else { return };
        // Before: ann's own password. After: the server. Whatever stands in between, one of both decides.
        let typed = if opens { PASSWORD } else { "not-anns-password" };
        let (code, output) = host.root(&format!(
            "{HASH}; before=$(files)
             try() {{ ann 'echo {typed} | sudo -S id -u' | grep -qx '\\(.*: \\)\\?0' && echo \"$1 opened\" || echo \"$1 shut\"; }}
             n=0; while [ $n -lt 20 ]; do
                {SETUP} --service sudo --abort-at $n >/run/out; code=$?; try \"in $n\"
                [ $code = 0 ] && echo \"== in after $n\" && break
                [ $code = 137 ] || cat /run/out
                $SETUP setup --remove; [ \"$before\" = \"$(files)\" ] || echo \"== changed at $n\"; n=$((n+1))
             done
             n=0; while [ $n -lt 20 ]; do
                $SETUP setup --remove --abort-at $n >/run/out; code=$?; try \"out $n\"
                [ $code = 0 ] && echo \"== out after $n\" && break
                [ $code = 137 ] || cat /run/out
                $SETUP setup --remove >/run/out; [ \"$before\" = \"$(files)\" ] || echo \"== changed at $n\"
                {SETUP} --service sudo >/run/out || cat /run/out; n=$((n+1))
             done"
        ));
        assert_eq!(code, 0, "{output}");
        assert!(output.contains("== in after 7") && output.contains("== out after 7"), "{output}");
        assert!(!output.contains("== changed"), "{output}");
        let (never, always) = if opens { (" shut", " opened") } else { (" opened", " shut") };
        assert!(!output.contains(never), "{output}");
        assert_eq!(output.matches(always).count(), 16, "{output}");
    }
}

#[test]
fn what_would_lock_out_is_refused_and_nothing_changes() {
    let server = answering(Decision::Granted);
    let gone = nowhere();
    let Some(host) = host(&server) else { return };
    let (code, output) = host.root(&format!(
        "{HASH}; echo 'account required pam_deny.so' >>/etc/pam.d/sudo; before=$(files); {SETUP}
         [ \"$before\" = \"$(files)\" ] && echo '== the same'; echo 'Defaults nonsense=1' >/etc/sudoers.d/bad
         {SETUP} --service su; rm /etc/sudoers.d/bad
         sed -i 's/^IDENTREE_SERVER_URL=.*/IDENTREE_SERVER_URL=https:\\/\\/127.0.0.1:{gone}/' /etc/identree/client.conf; {SETUP}
         [ \"$before\" = \"$(files)\" ] && echo '== the same'; rm /usr/libexec/identree/pam_identree.so; {SETUP} --without-server
         {SETUP} --service login --without-server --no-break-glass; [ \"$before\" = \"$(files)\" ] && echo '== the same'"
    ));
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("sudo: expected that an approval opens it"), "{output}");
    assert!(output.contains("sudoers: expected that visudo -c accepts it"), "{output}");
    assert!(output.contains("everybody would be locked out; --without-server"), "{output}");
    assert!(output.contains("pam_exec cannot ask for a break-glass password"), "{output}");
    assert!(output.contains("'login' is not one that identree can ask in"), "{output}");
    assert_eq!(output.matches("== the same").count(), 3, "{output}");
}

#[test]
fn with_the_helper_alone_and_the_password_kept_both_are_asked_for() {
    let server = answering(Decision::Granted);
    let Some(host) = Host::new(&server, None) else { return };
    let (code, output) = host.root(&format!(
        "$SETUP setup --no-break-glass --keep-password || exit 1; grep -c identree-pam /etc/pam.d/sudo
         ann 'echo {PASSWORD} | sudo -S whoami'; ann 'echo not-it | sudo -S echo opened'"
    ));
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("approved by bob") && output.lines().any(|line| line.ends_with("root")), "{output}");
    assert!(!output.contains("\nopened"), "{output}");
}

#[test]
fn a_file_that_was_edited_since_keeps_the_edit() {
    let server = answering(Decision::Granted);
    let Some(host) = host(&server) else { return };
    let (code, output) = host.root(&format!(
        "{HASH}; cp /etc/pam.d/sudo /run/expected; {SETUP} --service sudo || exit 1
         echo '# by hand' >>/etc/pam.d/sudo; echo '# by hand' >>/run/expected
         $SETUP setup --remove || exit 1; cmp /etc/pam.d/sudo /run/expected && echo '== kept'"
    ));
    assert!(code == 0 && output.contains("== kept") && output.contains("was edited since setup"), "{output}");
}

#[test]
fn with_the_plugin_sudo_says_what_runs_and_remove_takes_its_line_out() {
    let server = answering(Decision::Granted);
    let Some(host) = host(&server).and_then(Host::with_plugin) else { return };
    let (code, output) = host.root(&format!(
        "{HASH}; printf 'Set disable_coredump true' >/etc/sudo.conf; before=$(files); {SETUP} || exit 1
         cat /etc/sudo.conf; ann 'sudo id -u'; $SETUP doctor | head -2
         $SETUP setup --remove; [ \"$before\" = \"$(files)\" ] && echo '== the same'"
    ));
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("\nPlugin identree_approval /usr/libexec/identree/sudo_identree.so\n"), "{output}");
    assert!(output.lines().any(|line| line == "0") && output.contains("== the same"), "{output}");
    assert_eq!(output.matches(" gated ").count(), 2, "{output}");
    let asked: Vec<_> = server.seen().into_iter().filter_map(|seen| seen.question).collect();
    assert!((1..=2).contains(&asked.len()), "PAM and the plugin ask: {asked:?}");
}
