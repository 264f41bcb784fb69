//! A whole host of its own: a copy of `/etc`, empty state, our programs where packages put them.

use std::path::{Path, PathBuf};

use super::sandbox::{Running, all_there, bare, require};
use crate::server::Server;

/// What everything in here runs as besides root: ann, with this password.
pub(crate) const PASSWORD: &str = "anns-own-password-1";

/// The same as crypt(5) keeps it.
const HASHED: &str =
    "$6$identreetest$2BoeMj9zjfjwL0lfuGo7.BnCiJhHsQitgpj9v45LktFblnjsNBkQFATxsw7NmRzkPrfdMPf48OSN/v3S6HdLB.";

pub(crate) struct Host {
    folder: tempfile::TempDir,
    /// Where it comes from, and what it is called here.
    objects: Vec<(PathBuf, &'static str)>,
}

/// The shared object of this build, if the whole workspace was built.
pub(crate) fn module() -> Option<PathBuf> {
    built("libpam_identree.so")
}

/// The same of sudo's plugin.
pub(crate) fn plugin() -> Option<PathBuf> {
    built("libsudo_identree.so")
}

fn built(name: &str) -> Option<PathBuf> {
    let debug = Path::new(env!("CARGO_BIN_EXE_identree-host")).parent().unwrap();
    let found = [debug.join(name), debug.join("deps").join(name)].into_iter().find(|found| found.exists());
    require(&format!("{name} (cargo build -p identree-pam-module -p identree-pam-plugin)"), found.is_some());
    found
}

impl Host {
    /// A host whose host file names this server. `module` is installed beside the helper. `None` where this machine
    /// cannot do it.
    pub(crate) fn new(server: &Server, module: Option<PathBuf>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("client.conf"), server.conf()).unwrap();
        let objects = module.into_iter().map(|module| (module, "pam_identree.so")).collect();
        all_there().then_some(Self { folder, objects })
    }

    /// With sudo's plugin too.
    pub(crate) fn with_plugin(mut self) -> Option<Self> {
        self.objects.push((plugin()?, "sudo_identree.so"));
        Some(self)
    }

    /// Runs a shell script as root on the host. There `ann LINE` runs a line as ann, and `$SETUP` is `identree-host`.
    pub(crate) fn root(&self, script: &str) -> (i32, String) {
        self.start(script).finish()
    }

    pub(crate) fn start(&self, script: &str) -> Running {
        let folder = self.folder.path().display();
        let programs = [env!("CARGO_BIN_EXE_identree-host"), env!("CARGO_BIN_EXE_identree-pam")];
        let mut build = format!(
            "umask 022; mount -t tmpfs -o mode=0755 tmpfs /run; mount -t tmpfs -o mode=0755 tmpfs /var/lib\n\
             mkdir -p {folder}/etc {folder}/libexec\n\
             mount -t tmpfs -o mode=0755 tmpfs {folder}/etc; cp -a /etc/. {folder}/etc; mount --bind {folder}/etc /etc\n\
             mount --bind /usr/libexec {folder}/libexec; mount -t tmpfs -o mode=0755 tmpfs /usr/libexec\n\
             cp -a {folder}/libexec/sudo /usr/libexec/; mkdir -p /usr/libexec/identree /etc/identree /etc/sudoers.d\n\
             cp {} {} /usr/libexec/identree/; cp {folder}/client.conf /etc/identree/; chmod 600 /etc/identree/client.conf\n\
             echo 'ann:x:64001:64001::/:/bin/sh' >>/etc/passwd; echo 'ann:x:64001:' >>/etc/group\n\
             printf 'ann:%s:1::::::\\n' '{HASHED}' >>/etc/shadow\n\
             printf 'Defaults !lecture\\nann ALL=(ALL:ALL) ALL\\n' >/etc/sudoers.d/ann; chmod 440 /etc/sudoers.d/ann\n\
             ann() {{ setpriv --reuid=64001 --regid=64001 --clear-groups sh -c \"$1\"; }}\n\
             files() {{ (cd /etc; find pam.d sudoers* sudo.conf audit -type f 2>/dev/null | sort | xargs stat -c '%n %a %u %g'; \
                cat $(find pam.d sudoers* sudo.conf audit -type f 2>/dev/null | sort)) | sha256sum; }}\n\
             SETUP=/usr/libexec/identree/identree-host\n",
            programs[0], programs[1]
        );
        for (object, name) in &self.objects {
            build.push_str(&format!("cp {} /usr/libexec/identree/{name}\n", object.display()));
        }
        bare(&format!("set -e\n{build}\nset +e; exec 2>&1\n{script}"), "")
    }
}
