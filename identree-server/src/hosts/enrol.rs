//! How a host comes by a key of its own: invited by a token, and later by its own hand.

use std::time::Duration;

use identree_core::actor::Whence;
use identree_core::audit::EventKind;
use identree_core::credential::HostVerifier;
use identree_core::enrol::{EnrolRequest, Token};
use identree_core::grant::PublicKey;
use identree_core::id::{HostName, TokenId, UserName};
use identree_core::rng::bytes;
use identree_core::store::StoreError;
use identree_core::time::Timestamp;

use super::{Host, HostCredential, Hosts, HostsError, Invitation};

/// What an invitation does to what the host proves itself with until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoke {
    /// It works until the host has enrolled.
    WhenEnrolled,
    /// It stops working within a second.
    Now,
}

/// Why a host did not enrol, or did not replace its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolRefusal {
    /// The sender does not know a token of this host: no such host, no such token, a wrong secret, or a changed request.
    #[error("no such token of this host, or a request that was changed on the way")]
    Stranger,
    /// The sender does not hold the key it names.
    #[error("the sender does not hold the key that it names")]
    NoPossession,
    /// The token was used, with another key.
    #[error("the token was used already, with another key")]
    Used,
    /// A newer token was given out, or none is open.
    #[error("the token was withdrawn; a newer one may have been given out")]
    Withdrawn,
    /// The token's time is over.
    #[error("the token has expired")]
    Expired,
    /// The host proves itself with a secret.
    #[error("the host has no key to replace; it enrols with a token")]
    NoKey,
    /// The store failed.
    #[error("the host registry could not be read or written")]
    Store(#[from] StoreError),
}

impl EnrolRefusal {
    /// One word for it, for the record; none where nothing was refused, but could not be read or written.
    pub const fn as_str(&self) -> Option<&'static str> {
        match self {
            Self::Stranger => Some("stranger"),
            Self::NoPossession => Some("no_possession"),
            Self::Used => Some("used"),
            Self::Withdrawn => Some("withdrawn"),
            Self::Expired => Some("expired"),
            Self::NoKey => Some("no_key"),
            Self::Store(_) => None,
        }
    }
}

impl Hosts {
    /// Registers a host that has to enrol before it may ask.
    ///
    /// # Errors
    /// [`HostsError::Exists`] if it is registered.
    pub async fn add_invited(
        &self,
        name: &HostName,
        users: Option<Vec<UserName>>,
        group: Option<String>,
        life: Duration,
        by: Option<&UserName>,
    ) -> Result<Token, HostsError> {
        let (revision, host) = self.fresh(name, users, group).await?;
        let host = Host { credential: HostCredential::Awaited, ..host };
        self.invite_as(name, revision, host, EventKind::HostAdded, life, by).await
    }

    /// Gives out a token by which a registered host makes a new key known; an earlier token is worth nothing then.
    ///
    /// # Errors
    /// [`HostsError::Unknown`] if it is not registered.
    pub async fn invite(
        &self,
        name: &HostName,
        life: Duration,
        revoke: Revoke,
        by: Option<&UserName>,
    ) -> Result<Token, HostsError> {
        let (revision, mut host) = self.registered(name).await?;
        if revoke == Revoke::Now {
            host.credential = HostCredential::Awaited;
            host.generation += 1;
        }
        self.invite_as(name, revision, host, EventKind::HostInvited, life, by).await
    }

    async fn invite_as(
        &self,
        name: &HostName,
        revision: Option<u64>,
        mut host: Host,
        kind: EventKind,
        life: Duration,
        by: Option<&UserName>,
    ) -> Result<Token, HostsError> {
        let token = TokenId::from_bytes(bytes(&*self.parts.entropy));
        let expires_at = self.parts.now() + life;
        host.invitation = Some(Invitation { token, expires_at });
        let event = self
            .event(kind, name, host.generation, by, "command line")
            .with("token", token.to_string())
            .with("expires", expires_at.to_string());
        self.save(name, revision, &host, event).await?;
        Ok(self.master.enrol_token(name, host.generation, token))
    }

    /// Makes the key known that a host asks for under its token. The same request again, after a lost answer, changes nothing
    /// and is answered alike. Gives the token, for the answer, and since when the key counts.
    ///
    /// # Errors
    /// [`EnrolRefusal`]; only [`EnrolRefusal::Stranger`] may be told to somebody who did not show that they know a token.
    pub async fn enrol(&self, request: &EnrolRequest, whence: &Whence) -> Result<(Token, Timestamp), EnrolRefusal> {
        let name = &request.host;
        let (revision, stored) = self.stored(name).await?;
        let stored = stored.filter(|host| host.removed_at.is_none());
        let generation = stored.as_ref().map_or(0, |host| host.generation);
        let token = self.master.enrol_token(name, generation, request.token);
        let knows = request.knows(&token);
        let (true, Some(host)) = (knows, stored) else { return Err(EnrolRefusal::Stranger) };
        if request.possessed().is_none() {
            return Err(EnrolRefusal::NoPossession);
        }
        if let HostCredential::Key { public, since, token: Some(with) } = &host.credential
            && *with == request.token
        {
            return if *public == request.key { Ok((token, *since)) } else { Err(EnrolRefusal::Used) };
        }
        let now = self.parts.now();
        match &host.invitation {
            Some(open) if open.token == request.token && now < open.expires_at => {}
            Some(open) if open.token == request.token => return Err(EnrolRefusal::Expired),
            _ => return Err(EnrolRefusal::Withdrawn),
        }
        let event = self
            .event(EventKind::HostEnrolled, name, host.generation, None, "enrolment token")
            .from(whence)
            .with("token", request.token.to_string())
            .with("key", request.key.to_string());
        let credential = HostCredential::Key { public: request.key, since: now, token: Some(request.token) };
        self.save(name, revision, &Host { credential, invitation: None, ..host }, event).await?;
        Ok((token, now))
    }

    /// Replaces the key that `old` is by another, which its sender proves to hold.
    ///
    /// # Errors
    /// [`EnrolRefusal`] if the host has no key, or the proof does not hold.
    pub async fn replace_key(
        &self,
        (name, old): (&HostName, &PublicKey),
        new: &PublicKey,
        proof: &[u8],
        whence: &Whence,
    ) -> Result<(), EnrolRefusal> {
        let (revision, host) = self.registered(name).await.map_err(|error| match error {
            HostsError::Store(error) => EnrolRefusal::Store(error),
            _ => EnrolRefusal::Stranger,
        })?;
        // Another request may have replaced it since this one proved itself.
        if !matches!(&host.credential, HostCredential::Key { public, .. } if public == old) {
            return Err(EnrolRefusal::NoKey);
        }
        let holds = proof
            .try_into()
            .is_ok_and(|proof| HostVerifier::new(new).is_some_and(|verifier| verifier.succeeds(name, old, proof)));
        if !holds {
            return Err(EnrolRefusal::NoPossession);
        }
        let event = self
            .event(EventKind::HostKeyReplaced, name, host.generation, None, "host credential")
            .from(whence)
            .with("key", new.to_string());
        let credential = HostCredential::Key { public: *new, since: self.parts.now(), token: None };
        Ok(self.save(name, revision, &Host { credential, ..host }, event).await?)
    }
}
