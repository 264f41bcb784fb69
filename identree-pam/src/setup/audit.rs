//! What auditd watches: the files that decide who becomes root, and those that hold a secret.

/// Rules for `augenrules(8)`. `-w` watches; `wa` are writes and changes of attributes, `r` reads. Each path is one that
/// exists on every host with the package, because a rule for a missing folder fails the whole load.
pub(super) const RULES: &str = "\
# Written by identree setup; `identree setup --remove` takes this file away.
-w /etc/identree/ -p wa -k identree-config
-w /etc/identree-breakglass -p rwa -k identree-breakglass
-w /var/lib/identree-host/ -p wa -k identree-state
-w /etc/pam.d/ -p wa -k identree-pam-config
-w /etc/sudo.conf -p wa -k identree-sudo-config
-w /etc/sudoers -p wa -k identree-sudo-config
-w /etc/sudoers.d/ -p wa -k identree-sudo-config
-w /usr/libexec/identree/ -p wa -k identree-programs
";
