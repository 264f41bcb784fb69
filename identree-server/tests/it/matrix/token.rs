//! Attempts to enrol.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use identree_core::actor::Whence;
use identree_core::credential::{HostKey, MasterSecret};
use identree_core::enrol::{EnrolRequest, MAX_BODY_BYTES, PATH, Token};
use identree_core::id::{ChallengeId, HostName, Nonce, TokenId};
use identree_core::time::Timestamp;
use identree_server::hosts::Revoke;

use super::reason::Reason;
use crate::Rig;

const LIFE: Duration = Duration::from_secs(900);

pub(super) async fn request(rig: &Rig, reason: Reason, waiting: ChallengeId) -> Request<Body> {
    use Reason as R;
    let named = |text: &str| HostName::parse(text).unwrap();
    let invite = || rig.hosts.invite(&rig.host.name, LIFE, Revoke::WhenEnrolled, None);
    let key = |seed: u8| HostKey::from_seed(&[seed; 32]);
    let asking = |token: &Token| EnrolRequest::new(token, &key(1), Nonce::from_bytes([3; 32]));
    let token = invite().await.unwrap();
    let mut asked = asking(&token);
    match reason {
        R::UnknownToken => {
            let master = MasterSecret::parse(&"x".repeat(40)).unwrap();
            asked = asking(&master.enrol_token(&rig.host.name, 1, token.id()));
        }
        R::UnknownHost => {
            let master = MasterSecret::parse(&"x".repeat(40)).unwrap();
            asked = asking(&master.enrol_token(&named("stranger"), 0, TokenId::from_bytes([1; 8])));
        }
        R::TokenOfAnotherHost => {
            let other = rig.hosts.add_invited(&named("web2"), None, None, LIFE, None).await.unwrap();
            asked = EnrolRequest { host: named("web2"), token: other.id(), ..asked };
        }
        // Somebody between puts their own key in the place of the host's.
        R::SwappedKey => {
            let theirs = EnrolRequest::new(&token, &key(2), asked.nonce);
            asked = EnrolRequest { mac: asked.mac, ..theirs };
        }
        R::UsedToken => {
            let first = EnrolRequest::new(&token, &key(2), asked.nonce);
            rig.hosts.enrol(&first, &Whence::default()).await.unwrap();
        }
        R::WithdrawnToken => drop(invite().await.unwrap()),
        R::ExpiredToken => rig.clock.advance(LIFE),
        R::RemovedHost => rig.hosts.remove(&rig.host.name, None).await.unwrap(),
        R::AnotherVersion => asked.v = 2,
        _ => {}
    }
    if reason == R::ExpiredToken {
        // Whatever ends by itself meanwhile has ended before the attempt.
        drop(rig.engine.wait(waiting, Timestamp::MAX).await.unwrap());
    }
    let json = serde_json::to_string(&asked).unwrap();
    let body = match reason {
        R::NotJson => b"v=1".to_vec(),
        R::NotUtf8 => b"{\"v\":1,\"host\":\"\xff\"}".to_vec(),
        R::UnknownField => json.replacen('{', "{\"allow\":true,", 1).into_bytes(),
        R::Oversize => vec![b' '; MAX_BODY_BYTES + 1],
        _ => json.into_bytes(),
    };
    let method = match reason {
        R::Get | R::MethodOverride => "GET",
        R::Head => "HEAD",
        R::Put => "PUT",
        R::Patch => "PATCH",
        R::Options => "OPTIONS",
        _ => "POST",
    };
    let kind = if reason == R::NotDeclaredJson { "text/plain" } else { "application/json" };
    let request = Request::builder().method(method).uri(PATH).header(header::CONTENT_TYPE, kind);
    request.header("x-http-method-override", "POST").body(Body::from(body)).unwrap()
}
