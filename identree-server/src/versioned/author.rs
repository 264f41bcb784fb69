//! Who changed a setting, and which way.

use std::fmt;

use identree_core::audit::AuditEvent;
use identree_core::id::UserName;
use identree_core::text::visible;
use serde::{Deserialize, Serialize};

/// Who changed a setting, and which way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Who; nobody where a file was edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<UserName>,
    /// Which way: `command line`, `file PATH`.
    pub via: String,
}

impl Author {
    /// Somebody at the command line.
    pub fn command_line(by: &UserName) -> Self {
        Self { actor: Some(by.clone()), via: "command line".to_owned() }
    }

    /// Whoever edited this file.
    pub fn file(path: &std::path::Path) -> Self {
        Self { actor: None, via: format!("file {}", visible(&path.display().to_string())) }
    }

    /// The event, as this author's.
    pub(crate) fn sign(&self, event: AuditEvent) -> AuditEvent {
        AuditEvent { actor: self.actor.clone(), via: Some(self.via.clone()), ..event }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.actor {
            Some(actor) => write!(f, "{actor}, {}", self.via),
            None => f.write_str(&self.via),
        }
    }
}
