//! Whether a request comes from the host that it names.

use identree_core::credential::{Authorization, HostKey, HostSecret, HostVerifier, Proof, Request};
use identree_core::id::HostName;
use identree_core::rng::{Entropy, bytes};
use identree_core::text::hex;

use super::{Host, HostCredential, Hosts};

impl Hosts {
    /// The registered host, if one of these requests is what it proved: they differ in the authority alone. An unknown host, a
    /// wrong secret, a wrong key and a proof of the other kind cost the same and are told apart by nobody.
    pub fn prove<'a>(&self, claimed: &Authorization, mut requests: impl Iterator<Item = Request<'a>>) -> Option<Host> {
        let known = self.known.load();
        let kept = known.hosts.get(&claimed.host).filter(|kept| kept.registered().is_some());
        let host = kept.map(|kept| &kept.host);
        let (proven, of_its_kind) = match &claimed.proof {
            Proof::Mac(mac) => {
                let secret = kept.and_then(|kept| kept.secret.as_ref()).unwrap_or(&self.nobody.secret);
                (requests.any(|request| secret.verify(&request, mac)), HostCredential::is_secret as fn(&_) -> _)
            }
            Proof::Signature(signature) => {
                let key = kept.and_then(|kept| kept.key.as_ref()).unwrap_or(&self.nobody.key);
                let is_key: fn(&HostCredential) -> bool = |credential| matches!(credential, HostCredential::Key { .. });
                (requests.any(|request| key.verify(&request, signature)), is_key)
            }
        };
        host.filter(|host| proven && of_its_kind(&host.credential)).cloned()
    }

    /// The secret of a host in the MAC mode, for whoever may read the master anyway.
    pub fn secret(&self, name: &HostName) -> Option<HostSecret> {
        let host = self.find(name).filter(|host| host.credential.is_secret())?;
        Some(self.master.host_secret(name, host.generation))
    }
}

/// What a proof is held against where no host has what it would take: a key and a secret that nobody keeps.
#[derive(Debug, Clone)]
pub(super) struct Nobody {
    key: HostVerifier,
    secret: HostSecret,
}

impl Nobody {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let secret = HostSecret::parse(&hex(&bytes::<32>(entropy))).expect("32 bytes are 64 hexadecimal digits");
        Self { key: HostKey::from_seed(&bytes(entropy)).verifier(), secret }
    }
}
