//! Signing in against a scripted provider: what is accepted, and every way it is not. (The certified provider is driven by
//! the browser tests.)

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use identree_core::audit::EventKind;
use identree_core::time::{Clock as _, SystemClock};
use identree_evidence::{Kind, secret as note};
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use crate::{Answer, PROXY, Rig};

const CODE: &str = "code-of-this-test-5be7c2";
const ACCESS_TOKEN: &str = "access-token-of-this-test-90a1";

/// Says what it is told to say.
#[derive(Clone)]
pub(super) struct Scripted {
    pub(super) issuer: String,
    /// Seed and id of the published key.
    published: Arc<Mutex<u8>>,
    /// The next ID token.
    token: Arc<Mutex<String>>,
}

impl Scripted {
    pub(super) async fn start() -> Self {
        Self::known_as(None).await.1
    }

    /// Its own address, and the provider, which calls itself something else where told to.
    async fn known_as(public: Option<&str>) -> (String, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let issuer = public.map_or_else(|| address.clone(), str::to_owned);
        let scripted = Self { issuer, published: Arc::new(Mutex::new(1)), token: Arc::default() };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(Self::discovery))
            .route("/jwks", get(Self::keys))
            .route("/token", post(Self::redeem))
            .with_state(scripted.clone());
        drop(tokio::spawn(async move { axum::serve(listener, router).await })); // ends with the test's runtime
        (address, scripted)
    }

    /// What it tells next.
    pub(super) fn tells(&self, token: &str) {
        token.clone_into(&mut self.token.lock().unwrap());
    }

    async fn discovery(State(own): State<Self>) -> Json<Value> {
        let issuer = &own.issuer;
        Json(json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "EdDSA"],
            "authorization_response_iss_parameter_supported": true,
        }))
    }

    async fn keys(State(own): State<Self>) -> Json<CoreJsonWebKeySet> {
        Json(CoreJsonWebKeySet::new(vec![key(*own.published.lock().unwrap()).as_verification_key()]))
    }

    async fn redeem(State(own): State<Self>) -> Json<Value> {
        let token = own.token.lock().unwrap().clone();
        note(Kind::IdToken, &token);
        note(Kind::AccessToken, ACCESS_TOKEN);
        Json(json!({ "access_token": ACCESS_TOKEN, "token_type": "Bearer", "id_token": token }))
    }
}

fn key(seed: u8) -> CoreEdDsaPrivateSigningKey {
    // PKCS#8 (RFC 5958) around an Ed25519 key (RFC 8410 §7).
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([seed; 32]);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(format!("key {seed}")))).unwrap()
}

pub(super) fn signed(seed: u8, claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": format!("key {seed}") });
    let message = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = key(seed).sign(&CoreJwsSigningAlgorithm::EdDsa, message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A sign-in under way: what the browser was sent away with.
pub(super) struct Begun {
    state: String,
    nonce: String,
    cookie: String,
}

pub(super) async fn begin(rig: &Rig) -> Begun {
    let answer = rig.get("/sessions/login?return_to=/approve/KWXPTA-482913", None).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let url = Url::parse(answer.header(header::LOCATION)).unwrap();
    let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!((&*parameter("response_type"), &*parameter("code_challenge_method")), ("code", "S256"));
    let cookie = answer.header(header::SET_COOKIE).split(';').next().unwrap().to_owned();
    note(Kind::State, &parameter("state"));
    note(Kind::SignIn, cookie.split_once('=').unwrap().1);
    Begun { state: parameter("state"), nonce: parameter("nonce"), cookie }
}

/// The browser as the provider sends it back.
pub(super) fn returning(provider: &Scripted, begun: &Begun) -> Request<Body> {
    note(Kind::Code, CODE);
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("code", CODE), ("state", &begun.state), ("iss", &provider.issuer)])
        .finish();
    Request::get(format!("/callback?{query}")).header(header::COOKIE, &begun.cookie).body(Body::empty()).unwrap()
}

async fn back(rig: &Rig, provider: &Scripted, begun: &Begun) -> Answer {
    let answer = rig.send(returning(provider, begun)).await;
    let cookie = answer.header(header::SET_COOKIE).split(';').next().unwrap();
    if let Some(token) = cookie.strip_prefix("identree_session=") {
        note(Kind::Session, token);
    }
    answer
}

type Change = Box<dyn Fn(&mut Value)>;

/// What a right token says.
pub(super) fn claims(provider: &Scripted, begun: &Begun) -> Value {
    let now = SystemClock.now().as_secs(); // tokens are checked against the real clock
    json!({
        "iss": provider.issuer, "aud": "identree", "sub": "1", "nonce": begun.nonce, "iat": now, "exp": now + 60,
        "auth_time": now, "preferred_username": "ann", "groups": ["admins"],
    })
}

#[tokio::test]
async fn a_right_token_signs_in_once_and_returns_to_the_page() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    let begun = begin(&rig).await;
    *provider.token.lock().unwrap() = signed(1, &claims(&provider, &begun));
    let elsewhere = Begun { cookie: format!("identree_signin={}", "0".repeat(64)), ..begin(&rig).await };
    assert_eq!(back(&rig, &provider, &elsewhere).await.status, StatusCode::BAD_REQUEST, "another browser");
    let answer = back(&rig, &provider, &begun).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert_eq!(answer.header(header::LOCATION), "/approve/KWXPTA-482913");
    let cookie = answer.header(header::SET_COOKIE);
    assert!(cookie.starts_with("identree_session=") && cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    assert_eq!(back(&rig, &provider, &begun).await.status, StatusCode::BAD_REQUEST, "a replayed callback");
    let journal = rig.journal().await;
    let kinds: Vec<_> = journal.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::HostAdded, EventKind::PersonLinked, EventKind::SignedIn, EventKind::SignInFailed]);
    let failed = &journal[3].details;
    assert_eq!((&*failed["why"], &*failed["count"]), ("not_begun_here", "2"), "both are one event");
}

#[tokio::test]
async fn the_record_says_from_where() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    for peer in [PROXY, "192.0.2.9"] {
        let begun = begin(&rig).await;
        *provider.token.lock().unwrap() = signed(1, &claims(&provider, &begun));
        let uri = format!("/callback?code=c&state={}&iss={}", begun.state, provider.issuer);
        let request = Request::get(uri).header(header::COOKIE, &begun.cookie).body(Body::empty()).unwrap();
        let answer = rig.send_from(peer, "203.0.113.5, 192.0.2.7", request).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        let journal = rig.journal().await;
        let signed_in = journal.iter().rfind(|event| event.kind == EventKind::SignedIn).unwrap();
        let expected = if peer == PROXY { "192.0.2.7" } else { peer };
        assert_eq!(signed_in.details["address"], expected, "only the proxy may name another address than its own");
    }
}

#[tokio::test]
async fn signing_in_again_ends_the_session_before() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    let (before, _) = rig.session("ann").await;
    let begun = begin(&rig).await;
    *provider.token.lock().unwrap() = signed(1, &claims(&provider, &begun));
    let both = Begun { cookie: format!("{}; {before}", begun.cookie), ..begun };
    assert_eq!(rig.get("/state", Some(&before)).await.status, StatusCode::OK);
    let answer = back(&rig, &provider, &both).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let after = answer.header(header::SET_COOKIE).split(';').next().unwrap().to_owned();
    assert_eq!(rig.get("/state", Some(&after)).await.status, StatusCode::OK);
    assert_eq!(rig.get("/state", Some(&before)).await.status, StatusCode::UNAUTHORIZED);
}

/// Session fixation: a cookie that somebody planted in the browser is worth nothing, before signing in and after.
#[tokio::test]
async fn a_planted_session_cookie_is_never_adopted() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    let planted = format!("identree_session={}", "5".repeat(64));
    let begun = begin(&rig).await;
    *provider.token.lock().unwrap() = signed(1, &claims(&provider, &begun));
    let both = Begun { cookie: format!("{planted}; {}", begun.cookie), ..begun };
    let answer = back(&rig, &provider, &both).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert!(!answer.header(header::SET_COOKIE).contains(&planted), "a new value, whatever was there");
    assert_eq!(rig.get("/state", Some(&planted)).await.status, StatusCode::UNAUTHORIZED);
}

/// Mix-up (RFC 9207): an answer that another provider gave is refused before its code is sent anywhere.
#[tokio::test]
async fn an_answer_of_another_provider_is_refused_and_its_code_goes_nowhere() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    for issuer in ["https://evil.example", "", &format!("{}/", provider.issuer), &provider.issuer.to_uppercase()] {
        let begun = begin(&rig).await;
        *provider.token.lock().unwrap() = signed(1, &claims(&provider, &begun));
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("code", "c"), ("state", &begun.state), ("iss", issuer)])
            .finish();
        let answer = rig.get(&format!("/callback?{query}"), Some(&begun.cookie)).await;
        refused(&rig, &answer, issuer).await;
        let again = back(&rig, &provider, &begun).await;
        assert_eq!(again.status, StatusCode::BAD_REQUEST, "{issuer}: the sign-in is used up");
    }
}

/// Login CSRF: whoever lures a browser to a callback of their own signs nobody in there.
#[tokio::test]
async fn a_callback_begun_in_another_browser_signs_nobody_in() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    let attackers = begin(&rig).await;
    let victims = begin(&rig).await;
    *provider.token.lock().unwrap() = signed(1, &claims(&provider, &attackers));
    for cookie in [victims.cookie, "a=b".to_owned(), format!("{}0", attackers.cookie)] {
        let lured = Begun { state: attackers.state.clone(), nonce: attackers.nonce.clone(), cookie };
        let answer = back(&rig, &provider, &lured).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
}

#[tokio::test]
async fn an_administrator_whose_groups_are_too_old_signs_in_anew_where_questions_would_be_missing() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    let begun = begin(&rig).await;
    let mut ada = claims(&provider, &begun);
    ada["preferred_username"] = "ada".into();
    *provider.token.lock().unwrap() = signed(1, &ada);
    let cookie = back(&rig, &provider, &begun).await.header(header::SET_COOKIE).split(';').next().unwrap().to_owned();
    let code = rig.ask(1).await.user_code.unwrap();
    let page = format!("/approve/{}", code.as_str());
    assert_eq!(rig.get("/", Some(&cookie)).await.status, StatusCode::OK);
    rig.clock.advance(identree_server::login::GROUPS_LIVE);
    let answer = rig.get("/", Some(&cookie)).await;
    assert_eq!(answer.header(header::LOCATION), "/sessions/login?return_to=%2F");
    let answer = rig.get(&page, Some(&cookie)).await;
    assert_eq!(answer.header(header::LOCATION), format!("/sessions/login?return_to=%2Fapprove%2F{}", code.as_str()));
    let (ann, _) = rig.session("ann").await;
    assert_eq!(rig.get("/", Some(&ann)).await.status, StatusCode::OK, "others are left alone");
}

#[tokio::test]
async fn a_provider_reached_inside_under_another_address_is_believed_by_its_public_name_only() {
    let public = "https://id.example.test";
    let (inside, provider) = Scripted::known_as(Some(public)).await;
    let rig = Rig::with_issuer(&inside, Some(public)).await;
    let answer = rig.get("/sessions/login", None).await;
    assert!(answer.header(header::LOCATION).starts_with("https://id.example.test/authorize?"), "browsers go outside");
    let begun = begin(&rig).await;
    *provider.token.lock().unwrap() = signed(1, &claims(&provider, &begun));
    assert_eq!(back(&rig, &provider, &begun).await.status, StatusCode::SEE_OTHER);
    let begun = begin(&rig).await;
    let mut claims = claims(&provider, &begun);
    claims["iss"] = inside.clone().into();
    *provider.token.lock().unwrap() = signed(1, &claims);
    refused(&rig, &back(&rig, &provider, &begun).await, "the inside name").await;
    let unsplit = Rig::with_issuer(&inside, None).await;
    assert_eq!(unsplit.get("/sessions/login", None).await.status, StatusCode::SERVICE_UNAVAILABLE, "another issuer");
}

#[tokio::test]
async fn a_wrong_token_signs_nobody_in() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    let with = |field: &'static str, value: Value| move |claims: &mut Value| claims[field] = value.clone();
    let past = SystemClock.now().as_secs() - 3600;
    let cases: Vec<(&str, Change)> = vec![
        ("wrong issuer", Box::new(with("iss", "https://evil.example".into()))),
        ("issuer with a slash more", Box::new(with("iss", format!("{}/", provider.issuer).into()))),
        ("wrong audience", Box::new(with("aud", "another".into()))),
        ("one audience too many", Box::new(with("aud", json!(["identree", "another"])))),
        ("wrong nonce", Box::new(with("nonce", "another".into()))),
        ("no nonce", Box::new(|claims| drop(claims.as_object_mut().unwrap().remove("nonce")))),
        ("expired", Box::new(with("exp", past.into()))),
        ("no name", Box::new(|claims| drop(claims.as_object_mut().unwrap().remove("preferred_username")))),
        ("a name that is none", Box::new(with("preferred_username", "-ann".into()))),
    ];
    for (what, change) in cases {
        let begun = begin(&rig).await;
        let mut claims = claims(&provider, &begun);
        change(&mut claims);
        *provider.token.lock().unwrap() = signed(1, &claims);
        refused(&rig, &back(&rig, &provider, &begun).await, what).await;
    }
    let begun = begin(&rig).await;
    let none =
        [json!({ "alg": "none" }), claims(&provider, &begun)].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    *provider.token.lock().unwrap() = format!("{}.{}.", none[0], none[1]);
    refused(&rig, &back(&rig, &provider, &begun).await, "unsigned").await;

    let begun = begin(&rig).await;
    *provider.token.lock().unwrap() = signed(1, &claims(&provider, &begun));
    let unnamed = format!("/callback?code=c&state={}", begun.state);
    refused(&rig, &rig.get(&unnamed, Some(&begun.cookie)).await, "the answer does not name its issuer").await;
}

async fn refused(rig: &Rig, answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}: {}", answer.text());
    assert!(!answer.header(header::SET_COOKIE).contains("session"), "{what}");
    let journal = rig.journal().await;
    let last = journal.last().unwrap();
    assert_eq!(last.kind, EventKind::SignInFailed, "{what}");
    assert!(
        ["token", "code", "issuer", "not_linked"].contains(&&*last.details["why"]) && !last.details["text"].is_empty(),
        "{what}"
    );
}

#[tokio::test]
async fn a_rotated_key_is_fetched_and_an_unpublished_one_is_not_believed() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    let begun = begin(&rig).await;
    *provider.token.lock().unwrap() = signed(2, &claims(&provider, &begun));
    refused(&rig, &back(&rig, &provider, &begun).await, "an unpublished key").await;
    *provider.published.lock().unwrap() = 2;
    rig.clock.advance(std::time::Duration::from_secs(10)); // keys are asked for at most this often
    let begun = begin(&rig).await;
    *provider.token.lock().unwrap() = signed(2, &claims(&provider, &begun));
    assert_eq!(back(&rig, &provider, &begun).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_second_person_cannot_claim_a_linked_name() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    for (sub, status) in [("1", StatusCode::SEE_OTHER), ("2", StatusCode::FORBIDDEN), ("1", StatusCode::SEE_OTHER)] {
        let begun = begin(&rig).await;
        let mut claims = claims(&provider, &begun);
        claims["sub"] = sub.into();
        *provider.token.lock().unwrap() = signed(1, &claims);
        assert_eq!(back(&rig, &provider, &begun).await.status, status, "{sub}");
    }
    let linked: Vec<_> = rig.journal().await.into_iter().filter(|e| e.kind == EventKind::PersonLinkRefused).collect();
    assert_eq!(linked.len(), 1);
}

#[tokio::test]
async fn without_a_provider_sign_in_says_so_and_sets_no_cookie() {
    let rig = Rig::new().await;
    let answer = rig.get("/sessions/login?return_to=/", None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.headers.contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn a_callback_that_nobody_began_is_refused() {
    let rig = Rig::new().await;
    let cookie = format!("identree_signin={}", "0".repeat(64));
    for (path, cookie) in [
        ("/callback", None),
        ("/callback?code=x&state=y", None),
        ("/callback?code=x&state=y", Some(&*cookie)),
        ("/callback?error=access_denied", Some(&*cookie)),
    ] {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let answer = rig.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
}
