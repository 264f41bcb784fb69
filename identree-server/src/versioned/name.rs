//! The settings by name, and what each may hold.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use identree_core::policy::{PolicyFileError, RuleSet};

use super::client::{ClientFile, ClientFileError};
use super::sudo_rules::{SudoRules, SudoRulesError};
use crate::hosts::file::{HostsFile, HostsFileError};

/// A setting that is kept in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// Who must approve what.
    Policies,
    /// What hosts are told to keep to.
    Client,
    /// Files of hosts that were imported. Single hosts are changed beside it, each with its event.
    Hosts,
    /// Rules for sudo's LDAP source. Nobody is served them before there is a directory.
    SudoRules,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Policies, Self::Client, Self::Hosts, Self::SudoRules];

    /// As typed and as stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Client => "client",
            Self::Hosts => "hosts",
            Self::SudoRules => "sudo-rules",
        }
    }

    /// What it is, in half a line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Policies => "who must approve what",
            Self::Client => "what hosts are told to keep to; a server's own IDENTREE_CLIENT_… stands before it",
            Self::Hosts => "imported files of hosts; `identree list-hosts` shows what is registered",
            Self::SudoRules => "rules for sudo's LDAP source; kept only: no server serves them yet",
        }
    }

    /// Whether the text can be used, and what is written in it without effect. The path stands in errors.
    ///
    /// # Errors
    /// [`ContentError`] says what is wrong where.
    pub fn check(self, path: &Path, text: &str) -> Result<Vec<String>, ContentError> {
        match self {
            Self::Policies => Ok(RuleSet::load(path, text)?.notices().map(str::to_owned).collect()),
            Self::Client => ClientFile::parse(path, text).map(|_| Vec::new()).map_err(ContentError::from),
            Self::Hosts => Ok(HostsFile::parse(path, text)?.notices().to_vec()),
            Self::SudoRules => SudoRules::parse(path, text).map(|_| Vec::new()).map_err(ContentError::from),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| "is none of policies, client, hosts and sudo-rules".to_owned())
    }
}

/// A text that cannot be used. Nothing of it is in force then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Of policies.
    #[error(transparent)]
    Policies(#[from] PolicyFileError),
    /// Of client settings.
    #[error(transparent)]
    Client(#[from] ClientFileError),
    /// Of hosts.
    #[error(transparent)]
    Hosts(#[from] HostsFileError),
    /// Of sudo rules.
    #[error(transparent)]
    SudoRules(#[from] SudoRulesError),
}
