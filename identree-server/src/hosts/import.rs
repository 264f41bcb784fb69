//! Bringing the registry to what a file says: all of it in one commit, with an event for each host.

use std::path::Path;

use async_trait::async_trait;
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::{HostName, Target};
use identree_core::store::{Change as Write, Put};

use super::file::{HostEntry, HostsFile, HostsFileError};
use super::{Host, HostCredential, Hosts, corrupt, counter, key};
use crate::versioned::{Author, Change, Changed, ContentError, Name, Take, VersionError, Versions};

/// What becomes of registered hosts that the file does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    Stay,
    /// Those go that the file imported before it did name.
    FormerGo,
    /// All of them go.
    Go,
}

/// What an import does with one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub name: HostName,
    /// What.
    pub act: Act,
    /// What the file says and is not done.
    pub notice: Option<&'static str>,
    before: Option<Host>,
    after: Host,
    expect: Option<u64>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is registered.
    Add,
    /// Users or group change.
    Change,
    /// It is removed.
    Remove,
    /// It stays as it is.
    Keep,
}

/// The most hosts that change in one commit; every store takes so many.
const MOST: usize = 4000;

const KEPT_CREDENTIAL: &str =
    "generation and key stay as they are here: an import neither gives nor takes a credential";
const ANEW: &str =
    "it was removed here, or may have been; what it proved itself with stays dead, and it is registered anew";

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let before = self.before.as_ref().map(Host::summary).unwrap_or_default();
        let after = self.after.summary();
        match self.act {
            Act::Add => write!(f, "+ {}  {after}", self.name),
            Act::Change => write!(f, "~ {}  {before}  ->  {after}", self.name),
            Act::Remove => write!(f, "- {}  {before}", self.name),
            Act::Keep => write!(f, "  {}  {after}", self.name),
        }
    }
}

impl HostEntry {
    fn tells_of_another_credential(&self, host: &Host) -> bool {
        let key = match &host.credential {
            HostCredential::Key { public, .. } => Some(*public),
            HostCredential::Secret | HostCredential::Awaited => None,
        };
        self.generation.is_some_and(|generation| generation != host.generation) || self.key.is_some() && self.key != key
    }
}

impl Hosts {
    /// What an import would do: whatever is added, changed or removed, and whatever stays although the file says otherwise.
    ///
    /// # Errors
    /// [`VersionError`] if the registry cannot be read.
    pub async fn plan(&self, file: &HostsFile, former: &HostsFile, others: Others) -> Result<Vec<Step>, VersionError> {
        let (stored, forgotten) = (self.all().await?, self.forgotten_generation().await?);
        let mut steps: Vec<Step> = (file.hosts.iter())
            .filter_map(|(name, entry)| self.step((name, entry), stored.get(name), forgotten))
            .collect();
        let mut others: Vec<_> = stored
            .into_iter()
            .filter(|(name, (_, host))| host.removed_at.is_none() && !file.hosts.contains_key(name))
            .filter(|(name, _)| match others {
                Others::Stay => false,
                Others::FormerGo => former.hosts.contains_key(name),
                Others::Go => true,
            })
            .collect();
        others.sort_by(|(one, _), (other, _)| one.cmp(other));
        steps.extend(others.into_iter().map(|(name, (revision, host))| {
            let after = Host { removed_at: Some(self.parts.now()), ..host.clone() };
            Step { name, act: Act::Remove, notice: None, before: Some(host), after, expect: Some(revision) }
        }));
        Ok(steps)
    }

    /// What is done with one host of the file; none if all is as it says.
    fn step(
        &self,
        (name, entry): (&HostName, &HostEntry),
        stored: Option<&(u64, Host)>,
        forgotten: u32,
    ) -> Option<Step> {
        let expect = stored.map(|(revision, _)| *revision);
        let host = stored.map(|(_, host)| host);
        if let Some(host) = host.filter(|host| host.removed_at.is_none()) {
            let notice = entry.tells_of_another_credential(host).then_some(KEPT_CREDENTIAL);
            let after = Host { users: entry.users.clone(), group: entry.group.clone(), ..host.clone() };
            let act = if after == *host { Act::Keep } else { Act::Change };
            let step = Step { name: name.clone(), act, notice, before: Some(host.clone()), after, expect };
            return Some(step).filter(|step| step.act != Act::Keep || step.notice.is_some());
        }
        // Of names that were removed long ago only the highest generation is known: whoever is not above it may be one.
        let (now, told) = (self.parts.now(), entry.generation.unwrap_or(1));
        let last = forgotten.max(host.map_or(0, |gone| gone.generation));
        let was_here = host.is_some() || told <= last;
        let credential = match (entry.key, entry.credential.as_deref()) {
            (Some(public), _) if !was_here => HostCredential::Key { public, since: now, token: None },
            (Some(_), _) | (None, Some("none")) => HostCredential::Awaited,
            (None, _) => HostCredential::Secret,
        };
        let after = Host {
            generation: told.max(last + 1),
            users: entry.users.clone(),
            group: entry.group.clone(),
            credential,
            invitation: None,
            added_at: now,
            removed_at: None,
        };
        let says_more = entry.key.is_some() || entry.generation.is_some();
        let notice = (was_here && says_more).then_some(ANEW);
        Some(Step { name: name.clone(), act: Act::Add, notice, before: None, after, expect })
    }

    fn write_step(&self, step: &Step, author: &Author) -> Result<(Write, AuditEvent), VersionError> {
        let kind = match step.act {
            Act::Add => EventKind::HostAdded,
            Act::Remove => EventKind::HostRemoved,
            Act::Change | Act::Keep => EventKind::ConfigChanged,
        };
        let event = AuditEvent { target: Some(Target::Host(step.name.clone())), ..self.parts.event(kind) };
        let event = match kind {
            EventKind::ConfigChanged => event.with("what", "host"),
            _ => event.with("generation", step.after.generation.to_string()),
        };
        let event = super::told(author.sign(event), step.before.as_ref(), &step.after);
        let bytes = serde_json::to_vec(&step.after).map_err(corrupt)?;
        let put = Some(Put { bytes, expires_at: None });
        Ok((Write::Document { key: key(&step.name), expect: step.expect, put }, event))
    }
}

/// Takes files of hosts over.
#[derive(Debug, Clone)]
pub struct HostsImport {
    /// The registry.
    pub hosts: Hosts,
    /// Where imports are remembered.
    pub versions: Versions,
    /// What becomes of hosts that the file does not name.
    pub others: Others,
}

impl HostsImport {
    /// What the import of this file would do.
    ///
    /// # Errors
    /// [`VersionError`] if the registry cannot be read.
    pub async fn plan(&self, file: &HostsFile) -> Result<Vec<Step>, VersionError> {
        let former = match self.versions.in_force(Name::Hosts).await {
            Ok((_, text)) => HostsFile::parse(Path::new("hosts"), &text).map_err(ContentError::from)?,
            Err(VersionError::Unset(_)) => HostsFile::default(),
            Err(error) => return Err(error),
        };
        self.hosts.plan(file, &former, self.others).await
    }
}

#[async_trait]
impl Take for HostsImport {
    async fn take(&self, change: Change) -> Result<Changed, VersionError> {
        let file = HostsFile::parse(Path::new("hosts"), &change.text).map_err(ContentError::from)?;
        // What is kept of the file has no secret in it, whatever was.
        let change = Change { digest: Some(change.digest()), text: file.to_string(), ..change };
        let current = self.versions.expected(&change).await?;
        let plan = self.plan(&file).await?;
        let steps: Vec<_> = plan.iter().filter(|step| step.act != Act::Keep).collect();
        if steps.len() > MOST {
            return Err(ContentError::from(HostsFileError::TooMany { found: steps.len(), most: MOST }).into());
        }
        match current {
            Some(current) if steps.is_empty() && current.digest == change.digest() => Ok(Changed::Already(current)),
            current => {
                let mut beside = Vec::with_capacity(steps.len() + 1);
                for step in &steps {
                    let (write, event) = self.hosts.write_step(step, &change.author)?;
                    beside.push((write, Some(event)));
                }
                if !steps.is_empty() {
                    let put = Some(Put { bytes: Vec::new(), expires_at: None });
                    let expect = self.hosts.changes().await?;
                    beside.push((Write::Document { key: counter(), expect, put }, None));
                }
                let version = self.versions.write(change, current, beside).await?;
                for step in plan.iter().filter(|step| step.notice.is_some()) {
                    tracing::warn!("host {}: {}", step.name, step.notice.unwrap_or_default());
                }
                self.hosts.refresh().await?;
                Ok(Changed::Now(version))
            }
        }
    }
}
