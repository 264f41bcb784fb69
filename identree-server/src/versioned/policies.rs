//! The rules in force, as the engine asks them.

use std::path::Path;

use async_trait::async_trait;
use identree_core::policy::{Outcome, Policy, PolicyError, PolicyInput, Revision, RuleSet};

use super::{ContentError, Live, Name, VersionError, Versions};

/// The rules in force: those of the newest version, or the permissive fallback before there is any.
#[derive(Debug, Clone)]
pub struct LivePolicies(Live<RuleSet>);

impl LivePolicies {
    /// Reads them.
    ///
    /// # Errors
    /// [`VersionError`] if they cannot be read, or are not understood.
    pub async fn load(versions: Versions) -> Result<Self, VersionError> {
        Live::load(versions, Name::Policies, RuleSet::permissive(), read).await.map(Self)
    }

    /// The same, to be followed.
    pub const fn live(&self) -> &Live<RuleSet> {
        &self.0
    }
}

fn read(path: &Path, text: &str) -> Result<RuleSet, ContentError> {
    let rules = RuleSet::load(path, text)?;
    for notice in rules.notices() {
        tracing::warn!("{}: {notice}", path.display());
    }
    Ok(rules)
}

#[async_trait]
impl Policy for LivePolicies {
    async fn evaluate(&self, input: &PolicyInput<'_>) -> Result<Outcome, PolicyError> {
        self.0.now().value.evaluate(input).await
    }

    /// The number of the version: `identree config show policies --version N` tells what it says.
    fn revision(&self) -> Revision {
        let now = self.0.now();
        if now.version == 0 { now.value.revision() } else { Revision(now.version.to_string().into()) }
    }
}
