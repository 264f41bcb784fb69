//! The identity provider: discovery, the authorization request, and the checked ID token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use identree_core::id::GroupName;
use identree_core::secret::Secret;
use identree_core::time::{Clock, Timestamp};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, AuthorizationCode, ClaimsVerificationError, Client, ClientId,
    ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdToken,
    IdTokenFields, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, ProviderMetadata, RedirectUrl, Scope,
    SignatureVerificationError, StandardErrorResponse, StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use super::http::ProviderHttp;
use crate::telemetry::Stopwatch;

/// The keys are read again at most this often when a token names an unknown one.
const REFRESH_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// How to reach the provider and who we are to it.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// `IDENTREE_OIDC_ISSUER_URL`, exactly as the provider writes it unless a public one is given.
    pub issuer: String,
    /// `IDENTREE_OIDC_ISSUER_PUBLIC_URL`: what browsers use and tokens name, where the server reaches the provider otherwise.
    pub public_issuer: Option<String>,
    /// `IDENTREE_OIDC_CLIENT_ID`.
    pub client_id: String,
    /// `IDENTREE_OIDC_CLIENT_SECRET`.
    pub client_secret: Secret<String>,
    /// Where the provider sends the browser back: the external URL and `/callback`.
    pub redirect_uri: Url,
    /// `IDENTREE_OIDC_INSECURE_SKIP_VERIFY`.
    pub insecure_skip_verify: bool,
}

/// Why a sign-in did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The settings are unusable.
    #[error("{0}")]
    Settings(String),
    /// The provider does not answer, or its discovery document is not one of this issuer. Tried again.
    #[error("the identity provider does not answer: {0}")]
    Unavailable(String),
    /// The provider refused the code.
    #[error("the identity provider refused the sign-in code: {0}")]
    Refused(String),
    /// The ID token is missing or does not prove what it must.
    #[error("the identity provider's answer was not accepted: {0}")]
    Token(String),
}

/// Who signed in, as the ID token proves it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The issuer.
    pub issuer: String,
    /// The subject: with the issuer, the person.
    pub subject: String,
    /// The claim `preferred_username`.
    pub username: Option<String>,
    /// The claim `groups`; names that are none are left out.
    pub groups: Vec<GroupName>,
    /// When the person proved themselves to the provider (`auth_time`), if it says.
    pub auth_time: Option<Timestamp>,
}

/// What the browser is sent away with, and what must be remembered until it comes back.
#[derive(Debug)]
pub struct Authorization {
    /// Where to.
    pub url: Url,
    /// `state` (RFC 6749 §10.12).
    pub state: String,
    /// `nonce` of the ID token.
    pub nonce: String,
    /// The PKCE verifier (RFC 7636).
    pub verifier: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct GroupClaims {
    #[serde(default)]
    groups: Option<OneOrMany>,
}

/// Providers write one group as a text or as a list of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<String>),
    One(String),
}

impl AdditionalClaims for GroupClaims {}

impl GroupClaims {
    /// The groups; names that are none are left out.
    fn names(&self) -> Vec<GroupName> {
        let groups = match &self.groups {
            None => &[][..],
            Some(OneOrMany::One(group)) => std::slice::from_ref(group),
            Some(OneOrMany::Many(groups)) => groups,
        };
        groups.iter().filter_map(|group| GroupName::parse(group).ok()).collect()
    }
}

/// The groups that claims name, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn groups_of(claims: &[u8]) -> Option<Vec<GroupName>> {
    serde_json::from_slice::<GroupClaims>(claims).ok().map(|claims| claims.names())
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct MoreMetadata {
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for MoreMetadata {}

type Metadata = ProviderMetadata<
    MoreMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type Fields = IdTokenFields<
    GroupClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Token = IdToken<GroupClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type Discovered = Client<
    GroupClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The provider, found when it answers and found again when its keys change.
pub struct Provider {
    settings: ProviderSettings,
    http: ProviderHttp,
    clock: Arc<dyn Clock>,
    found: ArcSwapOption<Discovered>,
    names_itself: AtomicBool,
    last_try: Mutex<Timestamp>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Provider {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// [`ProviderError::Settings`] if a URL is none.
    pub fn new(settings: ProviderSettings, clock: Arc<dyn Clock>) -> Result<Self, ProviderError> {
        let parse =
            |text: &str| Url::parse(text).map_err(|error| ProviderError::Settings(format!("issuer URL: {error}")));
        let internal = parse(&settings.issuer)?;
        let split = settings.public_issuer.as_deref().map(parse).transpose()?.map(|public| (public, internal));
        let http = ProviderHttp::new(split, settings.insecure_skip_verify)
            .map_err(|error| ProviderError::Settings(format!("HTTP client: {error}")))?;
        let last_try = Mutex::new(Timestamp::default());
        Ok(Self {
            settings,
            http,
            clock,
            found: ArcSwapOption::empty(),
            names_itself: AtomicBool::new(false),
            last_try,
        })
    }

    /// Whether the provider has been found.
    pub fn is_known(&self) -> bool {
        self.found.load().is_some()
    }

    /// Whether the provider has announced that its answers name it (RFC 9207 §3).
    pub fn names_itself(&self) -> bool {
        self.names_itself.load(Ordering::Acquire)
    }

    /// The issuer that tokens must name, exactly.
    pub fn issuer(&self) -> &str {
        self.settings.public_issuer.as_deref().unwrap_or(&self.settings.issuer)
    }

    /// Fetches discovery document and keys, now.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`]; what was known stays.
    pub async fn discover(&self) -> Result<(), ProviderError> {
        let unavailable = |error: &dyn std::error::Error| ProviderError::Unavailable(chain(error));
        let issuer = IssuerUrl::new(self.issuer().to_owned()).map_err(|error| unavailable(&error))?;
        let metadata = Metadata::discover_async(issuer, &self.http).await.map_err(|error| unavailable(&error))?;
        let names_itself = metadata.additional_metadata().authorization_response_iss_parameter_supported;
        self.names_itself.store(names_itself, Ordering::Release);
        let redirect = RedirectUrl::from_url(self.settings.redirect_uri.clone());
        let client = Client::from_provider_metadata(
            metadata,
            ClientId::new(self.settings.client_id.clone()),
            Some(ClientSecret::new(self.settings.client_secret.expose().clone())),
        )
        .set_redirect_uri(redirect);
        self.found.store(Some(Arc::new(client)));
        Ok(())
    }

    /// The provider, looking for it if it was not found yet (at most every few seconds).
    async fn found(&self) -> Result<Arc<Discovered>, ProviderError> {
        if let Some(found) = self.found.load_full() {
            return Ok(found);
        }
        self.discover_again().await?;
        self.found.load_full().ok_or_else(|| ProviderError::Unavailable("trying again shortly".to_owned()))
    }

    async fn discover_again(&self) -> Result<(), ProviderError> {
        let mut last_try = self.last_try.lock().await;
        let now = self.clock.now();
        if now.since(*last_try) < REFRESH_EVERY && now >= *last_try {
            return Ok(()); // somebody just did
        }
        *last_try = now;
        self.discover().await
    }

    /// The authorization request: code flow, PKCE S256, state and nonce. `fresh` asks the person to prove themselves anew.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`] while the provider is not found.
    pub async fn authorize(&self, fresh: bool) -> Result<Authorization, ProviderError> {
        let client = self.found().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request =
            client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random).set_pkce_challenge(challenge);
        for scope in ["profile", "email", "groups"] {
            request = request.add_scope(Scope::new(scope.to_owned()));
        }
        if fresh {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(std::time::Duration::ZERO);
        }
        let (url, state, nonce) = request.url();
        let verifier = verifier.into_secret();
        Ok(Authorization { url, state: state.into_secret(), nonce: nonce.secret().clone(), verifier })
    }

    /// Redeems the code and checks the ID token: signature by a current key (RS256, ES256 or `EdDSA`), exact issuer, our
    /// audience, expiry, nonce.
    ///
    /// # Errors
    /// [`ProviderError`] says what was not accepted; nothing is accepted by halves.
    pub async fn redeem(&self, code: String, verifier: String, nonce: String) -> Result<Identity, ProviderError> {
        let client = self.found().await?;
        let refused = |error: &dyn std::error::Error| ProviderError::Refused(chain(error));
        let watch = Stopwatch::start();
        let response = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| refused(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&self.http)
            .await;
        metrics::histogram!("identree_oidc_exchange_duration_seconds").record(watch.seconds());
        let response = response.map_err(|error| refused(&error))?;
        let token = response.id_token().ok_or_else(|| ProviderError::Token("there is no ID token".to_owned()))?;
        let nonce = Nonce::new(nonce);
        match check(&client, token, &nonce) {
            // A key we do not know yet: the provider may have rotated it.
            Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)) => {
                self.discover_again().await?;
                let found = self.found().await?;
                check(&found, token, &nonce)
            }
            checked => checked,
        }
        .map_err(|error| ProviderError::Token(chain(&error)))
    }
}

fn check(client: &Discovered, token: &Token, nonce: &Nonce) -> Result<Identity, ClaimsVerificationError> {
    let verifier = client.id_token_verifier().set_allowed_algs([
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        CoreJwsSigningAlgorithm::EdDsa,
    ]);
    let claims = token.claims(&verifier, nonce)?;
    Ok(Identity {
        issuer: claims.issuer().as_str().to_owned(),
        subject: claims.subject().as_str().to_owned(),
        username: claims.preferred_username().map(|name| name.as_str().to_owned()),
        groups: claims.additional_claims().names(),
        auth_time: claims.auth_time().map(|at| Timestamp::from_millis(at.timestamp_millis())),
    })
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
