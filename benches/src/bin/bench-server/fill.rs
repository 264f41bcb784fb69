//! Hosts and people, as `identree add-host` and a sign-in leave them in the store.

use identree_benches::Result;
use identree_benches::load::{Registered, SignedIn};
use identree_core::actor::Whence;
use identree_core::credential::MasterSecret;
use identree_core::id::{GroupName, HostName};
use identree_server::hosts::Hosts;
use identree_server::layer::cookie::{Cookie, Cookies};
use identree_server::login::{Identity, People};
use identree_server::parts::Parts;
use identree_server::session::Sessions;

/// Registers `web-0`, `web-1` and so on.
pub(super) async fn hosts(parts: Parts, master: MasterSecret, count: usize) -> Result<Vec<Registered>> {
    let registry = Hosts::load(parts, master).await?;
    let mut hosts = Vec::new();
    for number in 0..count {
        let name = HostName::parse(&format!("web-{number}"))?;
        let secret = registry.add(&name, None, None, None).await?;
        hosts.push(Registered { name: name.to_string(), secret: secret.reveal().expose().clone() });
    }
    Ok(hosts)
}

/// Signs `user-0`, `user-1` and so on in, with these groups.
pub(super) async fn people(parts: &Parts, of: &str, count: usize, groups: &[GroupName]) -> Result<Vec<SignedIn>> {
    let (people, sessions) = (People::load(parts.clone()).await?, Sessions::new(parts.clone()));
    let cookie = Cookies::new(false).name(Cookie::Session);
    let mut signed_in = Vec::new();
    for number in 0..count {
        let identity = Identity {
            issuer: "http://127.0.0.1:9".to_owned(),
            subject: format!("{of}-{number}"),
            username: Some(format!("{of}-{number}")),
            groups: groups.to_vec(),
            auth_time: None,
        };
        let (name, batch, person) = people.link(&identity, &Whence::default()).await?.into_parts();
        let (token, change) = sessions.begin(name.clone(), parts.now())?;
        parts.store.commit(batch.and(change, None)).await?;
        people.committed(person);
        let session = sessions.find(token.reveal()).await?.ok_or("no session")?;
        signed_in.push(SignedIn {
            name: name.to_string(),
            cookie: format!("{cookie}={}", token.reveal()),
            csrf: session.csrf.as_str().to_owned(),
        });
    }
    Ok(signed_in)
}
