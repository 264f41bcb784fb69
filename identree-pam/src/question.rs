//! What is asked here, of whatever kind.

use identree_core::challenge::{Challenge, LoginChallenge, LoginFacts, LoginKind, SudoChallenge, SudoFacts};
use identree_core::id::{Nonce, ServiceName, Target, UserName};
use identree_core::wire::login::{LoginRequest, Opening, OpeningError};
use identree_core::wire::v1::OpenRequest;

/// The facts of one question.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// May this command run?
    Sudo(&'a SudoFacts),
    /// May this person log in?
    Login(&'a LoginFacts),
}

impl<'a> From<&'a SudoFacts> for Question<'a> {
    fn from(facts: &'a SudoFacts) -> Self {
        Self::Sudo(facts)
    }
}

impl<'a> From<&'a LoginFacts> for Question<'a> {
    fn from(facts: &'a LoginFacts) -> Self {
        Self::Login(facts)
    }
}

impl Question<'_> {
    /// The PAM service that asks.
    pub const fn service(&self) -> &ServiceName {
        match self {
            Self::Sudo(facts) => &facts.service,
            Self::Login(facts) => &facts.service,
        }
    }

    /// Who asks.
    pub(crate) const fn requester(&self) -> &UserName {
        match self {
            Self::Sudo(facts) => &facts.requester,
            Self::Login(facts) => &facts.requester,
        }
    }

    /// Whom they would work as.
    pub(crate) const fn becomes(&self) -> &UserName {
        match self {
            Self::Sudo(facts) => &facts.run_as.user,
            Self::Login(facts) => &facts.requester,
        }
    }

    /// Whether whoever asks sits at another machine and has proven nothing yet.
    pub(crate) const fn is_remote(&self) -> bool {
        matches!(self, Self::Login(LoginFacts { kind: LoginKind::SshLogin, .. }))
    }

    /// The question as the server will see it.
    ///
    /// # Errors
    /// [`OpeningError`] if it could not be shown in full.
    pub(crate) fn challenge(&self, target: Target) -> Result<Box<dyn Challenge>, OpeningError> {
        Ok(match self {
            Self::Sudo(facts) => Box::new(SudoChallenge::new(target, Vec::new(), (*facts).clone())?),
            Self::Login(facts) => Box::new(LoginChallenge::new(target, Vec::new(), (*facts).clone())?),
        })
    }

    /// The body that opens it.
    pub(crate) fn opening(&self, nonce: Nonce) -> Opening {
        match self {
            Self::Sudo(facts) => Opening::Sudo(Box::new(OpenRequest::new(nonce, facts))),
            Self::Login(facts) => Opening::Login(LoginRequest::new(nonce, facts)),
        }
    }
}
