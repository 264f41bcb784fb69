//! The code flow as a relying party sees it, through the openidconnect crate, and what it must not do.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt as _;
use identree_core::id::UserName;
use identree_core::rng::SeededEntropy;
use identree_core::time::{ManualClock, Timestamp};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreUserInfoClaims,
};
use openidconnect::{
    AccessToken, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _,
};
use tower::ServiceExt as _;

use super::*;

const ISSUER: &str = "http://127.0.0.1:8091";
const CALLBACK: &str = "http://127.0.0.1:8090/callback";

struct Setup {
    provider: DevProvider,
    clock: ManualClock,
}

impl Setup {
    fn new() -> Self {
        let clock = ManualClock::default();
        // openidconnect checks a token's expiry against the real clock.
        clock.set(identree_core::time::SystemClock.now());
        let parts: (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(clock.clone()), Arc::new(SeededEntropy::new(7)));
        let people = Persona::cast(UserName::parse("ann").unwrap());
        let provider = DevProvider::new(&Url::parse(ISSUER).unwrap(), client(CALLBACK), people, parts).unwrap();
        Self { provider, clock }
    }

    async fn call(&self, request: Request<Vec<u8>>) -> (StatusCode, axum::http::HeaderMap, Vec<u8>) {
        let (mut parts, body) = request.into_parts();
        if !parts.headers.contains_key(header::HOST) {
            parts.headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8091"));
        }
        let response = self.provider.router().oneshot(Request::from_parts(parts, Body::from(body))).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
        let (status, headers, body) = self.call(request).await;
        let mut response = HttpResponse::new(body);
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }

    async fn get(&self, target: &str) -> (StatusCode, axum::http::HeaderMap, String) {
        let request = Request::get(target).body(Vec::new()).unwrap();
        let (status, headers, body) = self.call(request).await;
        (status, headers, String::from_utf8(body).unwrap())
    }

    /// Clicks a person on the page at `url`; the parameters that the browser carries back.
    async fn click(&self, url: &Url, person: &str) -> HashMap<String, String> {
        let request = Request::post(&url[url::Position::BeforePath..])
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(format!("person={person}").into_bytes())
            .unwrap();
        let (status, headers, _) = self.call(request).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        let back = Url::parse(headers[header::LOCATION].to_str().unwrap()).unwrap();
        assert!(back.as_str().starts_with(CALLBACK), "{back}");
        back.query_pairs().into_owned().collect()
    }

    async fn metadata(&self) -> CoreProviderMetadata {
        let issuer = IssuerUrl::new(ISSUER.to_owned()).unwrap();
        CoreProviderMetadata::discover_async(issuer, &|request| self.http(request)).await.unwrap()
    }

    async fn redeem(&self, code: &str, verifier: &str, callback: &str) -> Result<String, String> {
        let client = CoreClient::from_provider_metadata(
            self.metadata().await,
            ClientId::new("identree".into()),
            Some(ClientSecret::new("s3cret&:".into())),
        )
        .set_redirect_uri(RedirectUrl::new(callback.to_owned()).unwrap());
        let token = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .unwrap()
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
            .request_async(&|request| self.http(request))
            .await;
        match token {
            Ok(token) => Ok(token.access_token().secret().clone()),
            Err(openidconnect::RequestTokenError::ServerResponse(error)) => Err(error.error().to_string()),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn client(callback: &str) -> Client {
    let redirect_uris = vec![Url::parse(callback).unwrap()];
    Client { id: "identree".into(), secret: Secret::new("s3cret&:".into()), redirect_uris }
}

const VERIFIER: &str = "0123456789012345678901234567890123456789012345678901234567890123";

/// An authorization request with these changes.
fn request(changes: &[(&str, &str)]) -> Url {
    use base64::Engine as _;
    let challenge =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(identree_core::canon::sha256(VERIFIER.as_bytes()));
    let mut query = HashMap::from([
        ("client_id", "identree"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid profile"),
        ("state", "st"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    query.extend(changes.iter().copied());
    Url::parse_with_params(&format!("{ISSUER}/authorize"), query).unwrap()
}

#[tokio::test]
async fn a_relying_party_gets_a_person() {
    let setup = Setup::new();
    let metadata = setup.metadata().await;
    assert_eq!(metadata.jwks().keys().len(), 1);
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new("identree".into()),
        Some(ClientSecret::new("s3cret&:".into())),
    )
    .set_redirect_uri(RedirectUrl::new(CALLBACK.into()).unwrap());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("groups".into()))
        .set_pkce_challenge(challenge)
        .url();

    let (status, headers, page) = setup.get(&url[url::Position::BeforePath..]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("DEVELOPMENT PROVIDER") && page.contains("anyone who sees this page can be anyone"));
    for person in ["ann", "ada", "grace"] {
        assert!(page.contains(&format!("value=\"{person}\"")));
    }
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self' http://127.0.0.1:8090"));
    assert!(!headers.contains_key(header::SET_COOKIE), "it remembers nobody");

    let back = setup.click(&url, "ada").await;
    assert_eq!(&back["state"], state.secret());
    assert_eq!(back["iss"], ISSUER);
    let token = client
        .exchange_code(AuthorizationCode::new(back["code"].clone()))
        .unwrap()
        .set_pkce_verifier(verifier)
        .request_async(&|request| setup.http(request))
        .await
        .unwrap();
    let verifier = client.id_token_verifier().set_allowed_algs([CoreJwsSigningAlgorithm::EdDsa]);
    let claims = token.id_token().unwrap().claims(&verifier, &nonce).unwrap();
    assert_eq!(claims.preferred_username().unwrap().as_str(), "ada");
    assert_eq!(claims.auth_time().unwrap().timestamp(), setup.clock.now().as_secs());
    assert_ne!(claims.subject().as_str(), "ada");

    let info: CoreUserInfoClaims = client
        .user_info(token.access_token().clone(), Some(claims.subject().clone()))
        .unwrap()
        .request_async(&|request| setup.http(request))
        .await
        .unwrap();
    assert_eq!(info.preferred_username().unwrap().as_str(), "ada");
    let raw = token.id_token().unwrap().to_string();
    let payload = raw.split('.').nth(1).unwrap();
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["groups"], json!([Persona::ADMIN_GROUP]));
    assert_eq!(payload["nonce"], json!(nonce.secret()));

    setup.clock.advance(issued::TOKEN_LIFE);
    let late = client.user_info(AccessToken::new(token.access_token().secret().clone()), None).unwrap();
    assert!(
        late.request_async::<openidconnect::EmptyAdditionalClaims, _, openidconnect::core::CoreGenderClaim>(
            &|r| setup.http(r)
        )
        .await
        .is_err()
    );
}

#[tokio::test]
async fn a_code_works_once_within_a_minute_and_only_for_who_began() {
    let setup = Setup::new();
    let code = || async { setup.click(&request(&[]), "ann").await["code"].clone() };

    let used = code().await;
    assert!(setup.redeem(&used, VERIFIER, CALLBACK).await.is_ok());
    assert_eq!(setup.redeem(&used, VERIFIER, CALLBACK).await.unwrap_err(), "invalid_grant");

    let other = code().await;
    let wrong = VERIFIER.replace('0', "a");
    assert_eq!(setup.redeem(&other, &wrong, CALLBACK).await.unwrap_err(), "invalid_grant");
    assert_eq!(setup.redeem(&other, VERIFIER, CALLBACK).await.unwrap_err(), "invalid_grant", "a failed try uses it up");

    let moved = code().await;
    assert_eq!(setup.redeem(&moved, VERIFIER, "http://127.0.0.1:8090/other").await.unwrap_err(), "invalid_grant");

    let late = code().await;
    setup.clock.advance(issued::CODE_LIFE);
    assert_eq!(setup.redeem(&late, VERIFIER, CALLBACK).await.unwrap_err(), "invalid_grant");
}

#[tokio::test]
async fn a_wrong_secret_gets_nothing_and_leaves_the_code_alone() {
    let setup = Setup::new();
    let code = setup.click(&request(&[]), "ann").await["code"].clone();
    let form = format!("grant_type=authorization_code&code={code}&client_id=identree&client_secret=guess");
    let guess = Request::post("/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .unwrap();
    let (status, headers, body) = setup.call(guess).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(headers.contains_key(header::WWW_AUTHENTICATE));
    assert!(!String::from_utf8(body).unwrap().contains("s3cret"));
    assert!(setup.redeem(&code, VERIFIER, CALLBACK).await.is_ok());
}

#[tokio::test]
async fn requests_that_may_not_be_answered() {
    let setup = Setup::new();
    // Never redirects to an address it does not know.
    for unknown in [
        &[("client_id", "other")][..],
        &[("redirect_uri", "http://127.0.0.1:8090/callback/")],
        &[("redirect_uri", "http://127.0.0.1:8090/callback?x=1")],
        &[("redirect_uri", "http://evil.example/callback")],
    ] {
        let url = request(unknown);
        let (status, headers, page) = setup.get(&url[url::Position::BeforePath..]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{unknown:?}");
        assert!(!headers.contains_key(header::LOCATION));
        assert!(!page.contains("<form"), "{unknown:?}");
    }
    // Everything else goes back with its error and its state.
    for (changes, error) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("scope", "profile")], "invalid_scope"),
        (&[("prompt", "none")], "login_required"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
    ] {
        let back = setup.click(&request(changes), "ann").await;
        assert_eq!(back["error"], error);
        assert_eq!(back["state"], "st");
        assert!(!back.contains_key("code"));
    }
}

#[tokio::test]
async fn foreign_pages_cannot_choose_and_foreign_names_do_not_answer() {
    let setup = Setup::new();
    let url = request(&[]);
    let click = |site: &str, person: &str| {
        Request::builder()
            .method(Method::POST)
            .uri(&url[url::Position::BeforePath..])
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", site)
            .body(format!("person={person}").into_bytes())
            .unwrap()
    };
    assert_eq!(setup.call(click("cross-site", "ada")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(setup.call(click("same-origin", "root")).await.0, StatusCode::BAD_REQUEST);
    let rebound = Request::get("/jwks").header(header::HOST, "evil.example").body(Vec::new()).unwrap();
    assert_eq!(setup.call(rebound).await.0, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn only_loopback_and_never_beside_https() {
    let make = |issuer: &str, callback: &str| {
        let parts: (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (Arc::new(ManualClock::new(Timestamp::default())), Arc::new(SeededEntropy::new(1)));
        DevProvider::new(&Url::parse(issuer).unwrap(), client(callback), Vec::new(), parts)
    };
    assert!(make("http://localhost:1", CALLBACK).is_ok());
    assert!(make("http://[::1]:1", CALLBACK).is_ok());
    for (issuer, callback) in [
        ("http://192.0.2.1:1", CALLBACK),
        ("http://localhost.evil.example", CALLBACK),
        ("https://127.0.0.1:1", CALLBACK),
        (ISSUER, "https://approve.example/callback"),
        (ISSUER, "https://127.0.0.1/callback"),
        (ISSUER, "http://approve.example/callback"),
    ] {
        assert!(matches!(make(issuer, callback), Err(DevIdpError::NotLoopback { .. })), "{issuer} {callback}");
    }
    let open = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let served = make(ISSUER, CALLBACK).unwrap().serve(open, std::future::pending()).await;
    assert!(matches!(served, Err(DevIdpError::NotLoopback { .. })));
}
