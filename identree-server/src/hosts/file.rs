//! The registry as a file: the seeds' `hosts.json`, without secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use identree_core::grant::PublicKey;
use identree_core::id::{HostName, UserName};
use identree_core::policy::Place;
use identree_core::text::{is_hidden, visible};
use identree_core::time::Timestamp;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Host, HostCredential};
use crate::versioned::{self, SyntaxError};

/// The longest name of a group, in bytes.
const LONGEST_GROUP: usize = 256;

/// A file of hosts that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostsFileError {
    /// Not of the right shape.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// It would change too many hosts at once.
    #[error(
        "hosts: {found} hosts would change, more than {most} at once; import them in parts: whom a file does not name stays"
    )]
    TooMany {
        /// How many would change.
        found: usize,
        /// How many may.
        most: usize,
    },
    /// One host does not make sense.
    #[error("{place}: host \"{}\": {message}", visible(.name))]
    Host {
        /// Which file.
        place: Place,
        /// Its name, as written.
        name: String,
        /// What is wrong, and the remedy.
        message: String,
    },
}

/// What a file says of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostsFile {
    /// The hosts.
    pub hosts: BTreeMap<HostName, HostEntry>,
    notices: Vec<String>,
}

/// What a file says of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostEntry {
    /// Who may ask on it; everybody if there is no list.
    #[serde(serialize_with = "everybody_or")]
    pub users: Option<Vec<UserName>>,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When it was registered, for readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<Timestamp>,
    /// How often it was registered or given a new secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// `secret`, `key` or `none`, for readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The public half of its own key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
}

/// As written. `secret` and `cert_expires_at` of the seeds are passed over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    users: Option<Vec<String>>,
    group: Option<String>,
    registered_at: Option<IgnoredAny>,
    generation: Option<u32>,
    credential: Option<String>,
    key: Option<String>,
    secret: Option<IgnoredAny>,
    cert_expires_at: Option<IgnoredAny>,
}

impl HostsFile {
    /// What the file says: an object with a host under each name.
    ///
    /// # Errors
    /// [`HostsFileError`] with file and host for the first thing that is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, HostsFileError> {
        let Entries(entries) = versioned::json(path, text)?;
        let (mut file, mut secrets) = (Self::default(), 0);
        for (name, entry) in entries {
            let wrong =
                |message| HostsFileError::Host { place: versioned::at(path, None), name: name.clone(), message };
            secrets += usize::from(entry.secret.is_some());
            let host = HostName::parse(&name).map_err(|error| wrong(error.to_string()))?;
            if file.hosts.insert(host, entry.read().map_err(wrong)?).is_some() {
                return Err(wrong("stands there twice; remove one".to_owned()));
            }
        }
        if secrets > 0 {
            file.notices.push(format!(
                "the secrets of {secrets} hosts are not taken over: a secret is derived here, `identree \
                 rotate-host-secret NAME` prints a new one; better, `--enroll` lets the host make a key of its own"
            ));
        }
        Ok(file)
    }

    /// What stands in it without effect.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Registered hosts as a file.
    pub fn of(hosts: impl IntoIterator<Item = (HostName, Host)>) -> Self {
        let entry = |host: Host| HostEntry {
            key: match &host.credential {
                HostCredential::Key { public, .. } => Some(*public),
                HostCredential::Secret | HostCredential::Awaited => None,
            },
            credential: Some(host.credential.as_str().to_owned()),
            users: host.users,
            group: host.group,
            registered_at: Some(host.added_at),
            generation: Some(host.generation),
        };
        let hosts = hosts.into_iter().map(|(name, host)| (name, entry(host))).collect();
        Self { hosts, notices: Vec::new() }
    }
}

impl fmt::Display for HostsFile {
    /// The file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: BTreeMap<_, _> = self.hosts.iter().map(|(name, entry)| (name.as_str(), entry)).collect();
        writeln!(f, "{}", serde_json::to_string_pretty(&named).map_err(|_| fmt::Error)?)
    }
}

impl EntryText {
    fn read(self) -> Result<HostEntry, String> {
        let _: (Option<IgnoredAny>, Option<IgnoredAny>) = (self.registered_at, self.cert_expires_at);
        let users = match self.users {
            None => None,
            Some(users) if users.iter().any(|user| user == "*") => None,
            Some(users) if users.is_empty() => {
                return Err(
                    "users is an empty list, with which nobody could ask; write [\"*\"] for everybody".to_owned()
                );
            }
            Some(users) => {
                let parsed = users.iter().map(|user| UserName::parse(user)).collect::<Result<_, _>>();
                Some(parsed.map_err(|error| error.to_string())?)
            }
        };
        if let Some(group) = &self.group
            && (group.is_empty() || group.len() > LONGEST_GROUP || group.chars().any(is_hidden))
        {
            return Err(format!("group must be 1 to {LONGEST_GROUP} bytes of visible characters"));
        }
        if self.generation == Some(0) {
            return Err("generation begins with 1".to_owned());
        }
        let credential = self.credential.as_deref();
        if !matches!(credential, None | Some("secret" | "key" | "none"))
            || (credential == Some("key")) != self.key.is_some()
        {
            return Err("credential must be secret or none, or key with a key beside it".to_owned());
        }
        let key =
            self.key.map(|key| key.parse::<PublicKey>().map_err(|_| "key is no public key".to_owned())).transpose()?;
        Ok(HostEntry {
            users,
            group: self.group,
            registered_at: None,
            generation: self.generation,
            credential: self.credential,
            key,
        })
    }
}

/// A map that keeps what stands twice.
struct Entries(Vec<(String, EntryText)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a host under each name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut found = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    found.push(entry);
                }
                Ok(Entries(found))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn everybody_or<S: serde::Serializer>(users: &Option<Vec<UserName>>, serializer: S) -> Result<S::Ok, S::Error> {
    match users {
        None => serializer.collect_seq(["*"]),
        Some(users) => serializer.collect_seq(users),
    }
}
