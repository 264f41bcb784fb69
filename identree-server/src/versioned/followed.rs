//! What a running server follows: the settings in the database, and the files that are taken over into it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use identree_core::store::Nudge;
use identree_core::wire::settings::ClientSettings;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::client::{self, ClientFile};
use super::{CURRENT, FileError, Live, LivePolicies, Name, SettingFile, Take, Versions, WatchedFile};
use crate::hosts::{Hosts, HostsImport, Others};
use crate::parts::Parts;

/// How soon an edited file, or a change of which nobody told, is seen.
const REFRESH: Duration = Duration::from_secs(1);

/// What one server has of its own.
#[derive(Debug, Clone)]
pub struct Own {
    /// Where it keeps what it saw of its files.
    pub data_dir: PathBuf,
    /// `IDENTREE_APPROVAL_POLICIES_FILE`.
    pub policies: PathBuf,
    /// Whether the operator wrote that path: then the file must be there.
    pub policies_named: bool,
    /// `IDENTREE_HOST_REGISTRY_FILE`.
    pub hosts: Option<PathBuf>,
    /// `IDENTREE_CLIENT_…`: stands before what is stored for all.
    pub client: ClientSettings,
}

/// The settings that are in force. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone)]
pub struct Followed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    versions: Versions,
    policies: LivePolicies,
    client: Live<ClientSettings>,
    own: ClientSettings,
    policies_file: WatchedFile,
    hosts_file: Option<(WatchedFile, HostsImport)>,
}

impl Followed {
    /// Takes over what was edited, and reads what is in force.
    ///
    /// # Errors
    /// [`FileError`] if a file cannot be used and nothing older could stay in force, or what is stored cannot be read.
    pub async fn begin(parts: Parts, own: Own, hosts: &Hosts) -> Result<Self, FileError> {
        let Own { data_dir, policies, policies_named, hosts: list, client } = own;
        let versions = Versions::new(parts.clone());
        let file = |name: Name, path, named| {
            WatchedFile::new(SettingFile { name, path, named, seen: data_dir.join(format!("{name}.seen")) })
        };
        let named = policies_named.then_some("IDENTREE_APPROVAL_POLICIES_FILE");
        let policies_file = file(Name::Policies, policies, named);
        policies_file.begin(&versions, &versions).await?;
        let hosts_file = match list {
            None => None,
            Some(path) => {
                let watched = file(Name::Hosts, path, Some("IDENTREE_HOST_REGISTRY_FILE"));
                let (hosts, versions) = (hosts.clone(), versions.clone());
                let import = HostsImport { hosts, versions, others: Others::FormerGo };
                watched.begin(&import.versions, &import).await?;
                Some((watched, import))
            }
        };
        let policies = LivePolicies::load(versions.clone()).await?;
        let stored = Live::load(versions.clone(), Name::Client, ClientSettings::default(), |path, text| {
            Ok(ClientFile::parse(path, text)?)
        });
        let (own, client) = (client, stored.await?);
        let followed = Self(Arc::new(Inner { parts, versions, policies, client, own, policies_file, hosts_file }));
        followed.tell_start();
        followed.count();
        Ok(followed)
    }

    /// The rules in force.
    pub fn policies(&self) -> LivePolicies {
        self.0.policies.clone()
    }

    /// What hosts are told: this server's own settings, else those that are stored for all.
    pub fn client(&self) -> ClientSettings {
        client::before(&self.0.own, &self.0.client.now().value)
    }

    /// The stored client settings, to be followed.
    pub fn live_client(&self) -> &Live<ClientSettings> {
        &self.0.client
    }

    /// Which settings have a file or a version that cannot be used. Why, the log says.
    pub fn refused(&self) -> Vec<Name> {
        let inner = &*self.0;
        let hosts_file = inner.hosts_file.as_ref().map(|(file, _)| file);
        let is_refused = |file: &WatchedFile| file.standing().problem().is_some();
        [
            (Name::Policies, inner.policies.live().refused().is_some() || is_refused(&inner.policies_file)),
            (Name::Client, inner.client.refused().is_some()),
            (Name::Hosts, hosts_file.is_some_and(is_refused)),
        ]
        .into_iter()
        .filter_map(|(name, refused)| refused.then_some(name))
        .collect()
    }

    /// Looks at files each second, and at the database each second and whenever a change elsewhere is told. Ends when the future
    /// is dropped.
    pub async fn follow(&self) {
        let parts = &self.0.parts;
        let mut nudges = parts.store.nudges();
        let mut next = parts.now() + REFRESH;
        loop {
            tokio::select! {
                () = parts.clock.sleep_until(next) => {
                    next = parts.now() + REFRESH;
                    self.look_at_files().await;
                }
                () = told(&mut nudges) => {}
            }
            self.refresh().await;
        }
    }

    /// Looks at the files once.
    pub async fn look_at_files(&self) {
        let inner = &*self.0;
        inner.policies_file.again(&inner.versions, &inner.versions as &dyn Take).await;
        if let Some((file, import)) = &inner.hosts_file {
            file.again(&import.versions, import).await;
        }
    }

    /// Looks at the database once.
    pub async fn refresh(&self) {
        let inner = &*self.0;
        let before = inner.client.now().version;
        inner.policies.live().refresh().await;
        inner.client.refresh().await;
        if inner.client.now().version != before {
            self.tell_difference();
        }
        self.count();
    }

    fn count(&self) {
        let (inner, refused) = (&*self.0, self.refused());
        let versions =
            [(Name::Policies, inner.policies.live().now().version), (Name::Client, inner.client.now().version)];
        for (name, version) in versions {
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            metrics::gauge!("identree_config_version", "setting" => name.as_str()).set(version);
        }
        for name in [Name::Policies, Name::Client, Name::Hosts] {
            let refused = u32::from(refused.contains(&name));
            metrics::gauge!("identree_config_refused", "setting" => name.as_str()).set(refused);
        }
    }

    fn tell_start(&self) {
        let rules = self.0.policies.live().now().version;
        if rules == 0 {
            let path = self.0.policies_file.path().display();
            tracing::info!("no policy file {path}: people approve their own questions, administrators everybody's");
        } else {
            tracing::info!("policies: version {rules} is in force");
        }
        self.tell_difference();
    }

    /// Hosts would be told different things by different servers.
    fn tell_difference(&self) {
        let stored = self.0.client.now();
        if stored.version > 0 {
            for name in client::differing(&self.0.own, &stored.value) {
                tracing::warn!(
                    "{name} of this server stands before version {} of the client settings: its hosts are told \
                     something else than those of servers without it",
                    stored.version
                );
            }
        }
    }
}

/// Ends when something may have changed elsewhere that is followed here; never, if nobody tells.
async fn told(nudges: &mut Option<Receiver<Nudge>>) {
    loop {
        let Some(receiver) = nudges else { return std::future::pending().await };
        match receiver.recv().await {
            Ok(Nudge::Document { collection, .. }) if &*collection == CURRENT.0 => return,
            Ok(Nudge::Missed) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(RecvError::Closed) => *nudges = None,
        }
    }
}
