//! Which files change and how, decided from their text before anything is touched.

use std::path::{Path, PathBuf};

use super::SetupError;
use super::file::Snapshot;
use super::journal::{Change, Transaction};
use super::stack::{self, Gate, Password, Root};
use crate::config::trusted_program;

/// The services that identree knows who asks in.
pub const SERVICES: [&str; 4] = ["sudo", "sudo-i", "su", "su-l"];
/// Those that are gated unless others are named.
const USUAL: [&str; 2] = ["sudo", "sudo-i"];

/// What sudo's own settings have to be for one approval per command. `passwd_tries`: sudo would ask again after a no, and
/// be refused at once each time.
const DROP_IN: &str = "# Written by identree setup; `identree setup --remove` takes this file away.\n\
                       # Each command is a question of its own, and a no is a no.\n\
                       Defaults timestamp_timeout=0\nDefaults passwd_tries=1\n";

/// Where things are on this host.
#[derive(Debug, Clone)]
pub struct Places {
    /// PAM's service files.
    pub pam: PathBuf,
    /// Where the system keeps those that an administrator did not write (Linux-PAM 1.4 and later).
    pub vendor_pam: PathBuf,
    /// `sudo.conf(5)`.
    pub sudo_conf: PathBuf,
    /// `sudoers(5)`.
    pub sudoers: PathBuf,
    /// Our part of it.
    pub drop_in: PathBuf,
    /// Rules of auditd.
    pub audit: PathBuf,
    /// Our programs.
    pub libexec: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            pam: "/etc/pam.d".into(),
            vendor_pam: "/usr/lib/pam.d".into(),
            sudo_conf: "/etc/sudo.conf".into(),
            sudoers: "/etc/sudoers".into(),
            drop_in: "/etc/sudoers.d/identree".into(),
            audit: "/etc/audit/rules.d/identree.rules".into(),
            libexec: "/usr/libexec/identree".into(),
        }
    }
}

/// What the administrator wants.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Which services; none are the usual ones that are there.
    pub services: Vec<String>,
    /// Whether the password is asked for too.
    pub password: Password,
    /// Whether auditd watches the gate.
    pub audit: bool,
}

/// What would be done.
#[derive(Debug)]
pub struct Plan {
    /// File by file, in order.
    pub changes: Vec<Change>,
    /// What somebody should know about it.
    pub notes: Vec<String>,
    /// The services that ask afterwards.
    pub services: Vec<String>,
}

/// Plans putting the gate in. No change at all is planned where everything is in place.
///
/// # Errors
/// [`SetupError`] for anything that is not certain to ask, or not certain to be undone.
pub fn install(places: &Places, wish: &Wish) -> Result<Plan, SetupError> {
    let mut plan = Plan { changes: Vec::new(), notes: Vec::new(), services: Vec::new() };
    plan.sudoers(places)?;
    plan.sudo_conf(places)?;
    if wish.audit {
        plan.change(&places.audit, |_| Ok(Some(super::audit::RULES.as_bytes().to_vec())), 0o640)?;
    }
    let gate = Gate { module: module(places)?, password: wish.password };
    for service in services(places, wish)? {
        plan.service(places, &service, &gate)?;
    }
    Ok(plan)
}

/// Plans taking it out: PAM first. A file that nobody changed since goes back byte for byte; from one that was changed
/// our lines alone are taken.
///
/// # Errors
/// [`SetupError`] where a file cannot be read or our lines in it were damaged.
pub fn remove(places: &Places, installed: Option<&Transaction>) -> Result<Plan, SetupError> {
    let mut plan = Plan { changes: Vec::new(), notes: Vec::new(), services: Vec::new() };
    let recorded = |path: &Path| installed.and_then(|record| record.changes.iter().find(|c| c.path == path));
    let pam = SERVICES.iter().map(|service| places.pam.join(service));
    for path in pam.chain([places.sudo_conf.clone()]) {
        let Some(now) = take(&path)? else { continue };
        match recorded(&path) {
            Some(change) if change.after.as_ref() == Some(&now) => plan.push(&path, Some(now), change.before.clone()),
            _ => {
                let bytes =
                    stack::remove(&now.bytes).map_err(|cause| SetupError::Stack { path: path.clone(), cause })?;
                let after = now.with(bytes);
                if after != now {
                    plan.notes.push(format!("{}: was edited since setup; only our lines go out", path.display()));
                }
                plan.push(&path, Some(now), Some(after));
            }
        }
    }
    for path in [&places.drop_in, &places.audit] {
        // Written whole by us, and nobody else's.
        let now = take(path)?;
        let before = recorded(path).and_then(|change| change.before.clone());
        if now.is_some() {
            plan.push(path, now, before);
        }
    }
    Ok(plan)
}

fn services(places: &Places, wish: &Wish) -> Result<Vec<String>, SetupError> {
    if wish.services.is_empty() {
        let there = |service: &&&str| places.pam.join(service).exists();
        return Ok(USUAL.iter().filter(there).map(|service| (*service).to_owned()).collect());
    }
    let mut named = wish.services.clone();
    // A file that is included before those that include it.
    named.sort();
    named.dedup();
    for service in &named {
        if !SERVICES.contains(&&**service) {
            return Err(SetupError::Service(service.clone()));
        }
        if !places.pam.join(service).exists() {
            return Err(SetupError::NoService(places.pam.join(service)));
        }
    }
    Ok(named)
}

/// What stands in the third column: the module where it is installed, else the helper.
fn module(places: &Places) -> Result<String, SetupError> {
    let (module, helper) = (places.libexec.join("pam_identree.so"), places.libexec.join("identree-pam"));
    trusted_program(&helper).map_err(SetupError::Program)?;
    if module.exists() {
        trusted_program(&module).map_err(SetupError::Program)?;
        return Ok(module.display().to_string());
    }
    Ok(format!("pam_exec.so seteuid stdout quiet {}", helper.display()))
}

impl Plan {
    fn service(&mut self, places: &Places, service: &str, gate: &Gate) -> Result<(), SetupError> {
        let path = places.pam.join(service);
        let phases = stack::asks(service, &|name| self.text(places, name));
        let own = take(&path)?
            .is_some_and(|file| file.bytes.windows(stack::BEGIN.len()).any(|w| w == stack::BEGIN.as_bytes()));
        self.services.push(service.to_owned());
        if phases.auth && phases.account && !own {
            self.notes.push(format!("{}: asks already, through a file that it includes", path.display()));
            return Ok(());
        }
        let root = if service.starts_with("su") && !service.starts_with("sudo") { Root::Passes } else { Root::Asked };
        let edit = |now: Option<&[u8]>| stack::install(now.unwrap_or_default(), gate, root).map(Some);
        self.change(&path, edit, 0o644)
    }

    /// A PAM file as it will be.
    fn text(&self, places: &Places, name: &str) -> Option<Vec<u8>> {
        let planned = |path: &Path| self.changes.iter().find(|change| change.path == path);
        let name = Path::new(name).file_name()?;
        let path = places.pam.join(name);
        match planned(&path) {
            Some(change) => change.after.as_ref().map(|file| file.bytes.clone()),
            None => [path, places.vendor_pam.join(name)].iter().find_map(|path| std::fs::read(path).ok()),
        }
    }

    fn sudo_conf(&mut self, places: &Places) -> Result<(), SetupError> {
        let plugin = places.libexec.join("sudo_identree.so");
        if !plugin.exists() {
            self.notes.push(format!(
                "{}: is not installed, so that sudo's own command line is what is approved",
                plugin.display()
            ));
            return Ok(());
        }
        trusted_program(&plugin).map_err(SetupError::Program)?;
        let line = format!("{}\nPlugin identree_approval {}\n{}\n", stack::BEGIN, plugin.display(), stack::END);
        self.change(
            &places.sudo_conf,
            |now| {
                let base = stack::remove(now.unwrap_or_default())?;
                Ok(Some([line.as_bytes(), &base].concat()))
            },
            0o644,
        )
    }

    fn sudoers(&mut self, places: &Places) -> Result<(), SetupError> {
        let folder = places.drop_in.parent().unwrap_or(Path::new("/"));
        let text = take(&places.sudoers)?.map(|file| file.bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let includes = |line: &str| {
            let line = line.trim();
            let rest = line.strip_prefix("@includedir").or_else(|| line.strip_prefix("#includedir"));
            rest.is_some_and(|rest| Path::new(rest.trim().trim_matches('"')) == folder)
        };
        if !text.lines().any(includes) {
            self.notes.push(format!(
                "{}: does not include {}; set timestamp_timeout=0 and passwd_tries=1 there by hand",
                places.sudoers.display(),
                folder.display()
            ));
            return Ok(());
        }
        self.change(&places.drop_in, |_| Ok(Some(DROP_IN.as_bytes().to_vec())), 0o440)
    }

    fn change(
        &mut self,
        path: &Path,
        edit: impl FnOnce(Option<&[u8]>) -> Result<Option<Vec<u8>>, stack::StackError>,
        mode: u32,
    ) -> Result<(), SetupError> {
        let before = take(path)?;
        let bytes = edit(before.as_ref().map(|file| &*file.bytes))
            .map_err(|cause| SetupError::Stack { path: path.to_owned(), cause })?;
        let after = bytes.map(|bytes| match &before {
            Some(file) => file.with(bytes),
            None => Snapshot::new(bytes, mode),
        });
        self.push(path, before, after);
        Ok(())
    }

    fn push(&mut self, path: &Path, before: Option<Snapshot>, after: Option<Snapshot>) {
        if before != after {
            self.changes.push(Change { path: path.to_owned(), before, after });
        }
    }
}

fn take(path: &Path) -> Result<Option<Snapshot>, SetupError> {
    Snapshot::take(path).map_err(|cause| SetupError::File { path: path.to_owned(), cause })
}
