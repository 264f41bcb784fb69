//! Every reason to refuse, and what must come for each way in.

use axum::http::StatusCode;
use identree_core::engine::VoteRefusal;
use identree_server::routes::{Door, Route};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Why somebody is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum Reason { $($(#[doc = $doc])* $name,)* }
        impl Reason {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

reasons! {
    // Of a host's credential.
    NoCredential, OtherScheme, MalformedCredential, TwoCredentials, WrongSecret, RotatedSecret, RemovedHost, UnknownHost,
    AnotherHostsName, ClockBehind, ClockAhead, MacOfAnotherAuthority, MacOfAnotherMethod, MacOfAnotherPath, MacOfAnotherBody,
    MacOfAnotherTime, MacOfABodyWhereNoneIs,
    // Of a host's own key.
    WrongKey, AnotherHostsKey, SecretAfterEnrolment, KeyOfAHostWithASecret, ReplacedKey, RevokedKey, KeyOfARemovedHost,
    NoPossession, NoKeyToReplace,
    // Of an enrolment token.
    UnknownToken, UsedToken, WithdrawnToken, ExpiredToken, TokenOfAnotherHost, SwappedKey, AnotherVersion,
    // Of a host's question.
    AnotherHostsQuestion, NoSuchQuestion, UserNotListed, NonceReused, NotJson, NotDeclaredJson, UnknownField, OddQuery,
    // Of a session.
    NoSession, InventedSession, MalformedSession, SignedOutSession, IdleSession, OldSession, TwoSessions,
    // Of a form.
    NoToken, WrongToken, TokenOfAnotherSession, TokenOfAnotherPerson, TokenTwice, TokenInTheQuery, OtherOrigin, HiddenOrigin,
    NoOrigin, OriginWithAPort, CrossSite, SameSite, NotAForm, NoQuestionNamed, BadQuestionId,
    // Of the person.
    Stranger, AgedOutAdmin, Disabled, NotAdmin, OwnForbidden, WrongNumber, NoNumber, AlreadyVoted, StaleSignIn,
    TooLongWords, StatedOnly,
    // Of the question.
    Settled, Expired,
    // Of the request.
    Head, Get, Put, Patch, Options, MethodOverride, Oversize, NotUtf8, LongPath,
    // Of a sign-in.
    NothingBegun, AnotherBrowsersSignIn, NoState, ProviderDown,
}

/// One way to get at something private or to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Over HTTP.
    Route(Route),
    /// The engine's own functions, as an embedder calls them.
    Engine(Call),
}

/// A function of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Approve,
    Deny,
    Cancel,
}

impl Call {
    pub(super) const ALL: [Self; 4] = [Self::Open, Self::Approve, Self::Deny, Self::Cancel];
}

/// What a refusal must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// The host API: status and problem.
    Problem(StatusCode, &'static str),
    /// A page or a bare status.
    Status(StatusCode),
    /// Off to sign in.
    ToSignIn,
    /// The engine's refusal of a vote.
    Vote(VoteRefusal),
    /// The engine opens nothing: the question is refused at once.
    AtOnce,
    /// The nonce stands for another question.
    Nonce,
}

/// What comes for this reason at this way in, or why the pair means nothing.
pub(super) fn expected(way: Way, reason: Reason) -> Result<Refused, &'static str> {
    match way {
        Way::Route(route) => match route.door {
            Door::Host => host(route, reason),
            Door::Token => token(reason),
            Door::Person => person(route, reason),
            Door::Form => form(route, reason),
            Door::SignIn => sign_in(route, reason),
            Door::OwnPage => own_page(reason),
            Door::Scraper => scraper(reason),
            Door::Open => open(route, reason),
        },
        Way::Engine(call) => engine(call, reason),
    }
}

#[expect(clippy::match_same_arms, reason = "one line per kind of reason reads better than one per answer")]
fn host(route: Route, reason: Reason) -> Result<Refused, &'static str> {
    use Reason as R;
    let posts = route.method == "POST";
    let (opens, replaces) = (posts && route.path == "/api/challenge", posts && route.path == "/api/host/key");
    let names = route.path.contains('{');
    let refused = |status, name| Ok(Refused::Problem(status, name));
    match reason {
        R::NoCredential
        | R::OtherScheme
        | R::MalformedCredential
        | R::TwoCredentials
        | R::WrongSecret
        | R::RotatedSecret
        | R::RemovedHost
        | R::UnknownHost
        | R::AnotherHostsName
        | R::MacOfAnotherAuthority
        | R::MacOfAnotherMethod
        | R::MacOfAnotherPath
        | R::MacOfAnotherBody
        | R::MacOfAnotherTime => refused(StatusCode::UNAUTHORIZED, "unauthorized"),
        R::WrongKey
        | R::AnotherHostsKey
        | R::SecretAfterEnrolment
        | R::KeyOfAHostWithASecret
        | R::ReplacedKey
        | R::RevokedKey
        | R::KeyOfARemovedHost => refused(StatusCode::UNAUTHORIZED, "unauthorized"),
        R::NoPossession if replaces => refused(StatusCode::FORBIDDEN, "no-possession"),
        R::NoKeyToReplace if replaces => refused(StatusCode::CONFLICT, "no-key"),
        R::MacOfABodyWhereNoneIs if !posts => refused(StatusCode::UNAUTHORIZED, "unauthorized"),
        R::ClockBehind | R::ClockAhead => refused(StatusCode::UNAUTHORIZED, "stale-request"),
        R::AnotherHostsQuestion | R::NoSuchQuestion if names => refused(StatusCode::NOT_FOUND, "not-found"),
        R::AnotherHostsQuestion | R::NoSuchQuestion => Err("no question is named"),
        R::NotUtf8 if names => refused(StatusCode::NOT_FOUND, "not-found"),
        R::NotUtf8 | R::NotJson if posts => refused(StatusCode::BAD_REQUEST, "not-json"),
        R::NotDeclaredJson if posts => refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json-type"),
        R::UnknownField if posts => refused(StatusCode::BAD_REQUEST, "unknown-field"),
        R::UserNotListed if opens => refused(StatusCode::FORBIDDEN, "user-not-allowed"),
        R::NonceReused if opens => refused(StatusCode::CONFLICT, "nonce-reused"),
        R::MacOfABodyWhereNoneIs
        | R::NotUtf8
        | R::NotJson
        | R::NotDeclaredJson
        | R::UnknownField
        | R::UserNotListed
        | R::NonceReused => Err("nothing is sent along that is read"),
        R::OddQuery if route.method == "GET" && names => refused(StatusCode::BAD_REQUEST, "invalid-request"),
        R::OddQuery => Err("no query is read, though the MAC covers it"),
        R::Put | R::Patch | R::Options => refused(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
        R::Get | R::Head if posts => refused(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
        R::Get => Err("a GET with a credential reads the host's own question"),
        R::Head => Err("HEAD with a credential is the GET without its body"),
        R::MethodOverride => Err("no override is read: the request is what its method says"),
        R::Oversize => refused(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        R::LongPath if names => refused(StatusCode::NOT_FOUND, "not-found"),
        R::LongPath => Err("the path is fixed"),
        R::Settled | R::Expired => Err("a host is told the answer"),
        R::Stranger
        | R::AgedOutAdmin
        | R::Disabled
        | R::NotAdmin
        | R::OwnForbidden
        | R::WrongNumber
        | R::NoNumber
        | R::AlreadyVoted
        | R::StaleSignIn
        | R::TooLongWords
        | R::StatedOnly => Err("no person comes this way"),
        _ => Err("no browser comes this way, and no token counts here"),
    }
}

/// What is told to those who know no token is one thing; those who do are told what is wrong with it.
fn token(reason: Reason) -> Result<Refused, &'static str> {
    use Reason as R;
    let refused = |status, name| Ok(Refused::Problem(status, name));
    match reason {
        R::UnknownToken | R::TokenOfAnotherHost | R::SwappedKey | R::UnknownHost | R::RemovedHost => {
            refused(StatusCode::FORBIDDEN, "enrolment-refused")
        }
        R::UsedToken | R::WithdrawnToken => refused(StatusCode::FORBIDDEN, "token-used"),
        R::ExpiredToken => refused(StatusCode::FORBIDDEN, "token-expired"),
        R::AnotherVersion => refused(StatusCode::BAD_REQUEST, "unsupported-version"),
        R::NotJson | R::NotUtf8 => refused(StatusCode::BAD_REQUEST, "not-json"),
        R::NotDeclaredJson => refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json-type"),
        R::UnknownField => refused(StatusCode::BAD_REQUEST, "unknown-field"),
        R::Oversize => refused(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        R::Get | R::Head | R::Put | R::Patch | R::Options | R::MethodOverride => {
            refused(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed")
        }
        _ => Err("nothing but the token counts here"),
    }
}

/// Session reasons, the same for everything that wants one.
fn session(reason: Reason) -> bool {
    use Reason as R;
    matches!(
        reason,
        R::NoSession
            | R::InventedSession
            | R::MalformedSession
            | R::SignedOutSession
            | R::IdleSession
            | R::OldSession
            | R::TwoSessions
    )
}

fn person(route: Route, reason: Reason) -> Result<Refused, &'static str> {
    use Reason as R;
    let one = route.path.contains("{code}");
    let hosts = route.path == "/hosts";
    let page = hosts || route.path == "/approve/{code}";
    match reason {
        R::Stranger | R::AgedOutAdmin | R::NotAdmin if hosts => Ok(Refused::Status(StatusCode::NOT_FOUND)),
        reason if session(reason) && page => Ok(Refused::ToSignIn),
        reason if session(reason) => Ok(Refused::Status(StatusCode::UNAUTHORIZED)),
        R::Head if page => Ok(Refused::ToSignIn),
        R::Head => Ok(Refused::Status(StatusCode::UNAUTHORIZED)),
        R::Stranger | R::AgedOutAdmin | R::NoSuchQuestion | R::LongPath if one => {
            Ok(Refused::Status(StatusCode::NOT_FOUND))
        }
        R::NotUtf8 if one => Ok(Refused::Status(StatusCode::BAD_REQUEST)),
        R::Stranger | R::AgedOutAdmin => Err("the list holds what the person may see"),
        R::NoSuchQuestion | R::LongPath | R::NotUtf8 => Err("no question is named"),
        // With a proven form: the route itself does not take it.
        R::Put | R::Patch | R::Options | R::MethodOverride => Ok(Refused::Status(StatusCode::METHOD_NOT_ALLOWED)),
        R::CrossSite | R::SameSite | R::OtherOrigin | R::NoOrigin | R::HiddenOrigin | R::OriginWithAPort => {
            Err("a link from elsewhere may open a page; reading decides nothing")
        }
        R::Settled | R::Expired => Err("how a question ended is shown to those who may see it"),
        R::Disabled | R::NotAdmin | R::OwnForbidden | R::StaleSignIn => {
            Err("who may see a question may not always approve it")
        }
        _ => Err("nothing is posted and no host comes this way"),
    }
}

fn form(route: Route, reason: Reason) -> Result<Refused, &'static str> {
    use Reason as R;
    let status = |status| Ok(Refused::Status(status));
    let votes = route.path != "/signout";
    let approves = route.path.ends_with("/approve");
    match reason {
        reason if session(reason) => status(StatusCode::UNAUTHORIZED),
        R::NoToken
        | R::WrongToken
        | R::TokenOfAnotherSession
        | R::TokenOfAnotherPerson
        | R::TokenTwice
        | R::TokenInTheQuery
        | R::OtherOrigin
        | R::HiddenOrigin
        | R::NoOrigin
        | R::OriginWithAPort
        | R::CrossSite
        | R::SameSite => status(StatusCode::FORBIDDEN),
        R::Get | R::Head | R::Put | R::Patch | R::Options | R::MethodOverride => status(StatusCode::METHOD_NOT_ALLOWED),
        R::Oversize => status(StatusCode::PAYLOAD_TOO_LARGE),
        R::NotAForm | R::NoQuestionNamed | R::BadQuestionId | R::NotUtf8 if votes => status(StatusCode::BAD_REQUEST),
        R::NoSuchQuestion | R::Stranger | R::AgedOutAdmin if votes => status(StatusCode::NOT_FOUND),
        R::Settled | R::Expired if votes => status(StatusCode::CONFLICT),
        R::Disabled | R::TooLongWords if votes => status(StatusCode::UNPROCESSABLE_ENTITY),
        R::NotAdmin | R::OwnForbidden | R::WrongNumber | R::NoNumber | R::AlreadyVoted | R::StaleSignIn if approves => {
            status(StatusCode::UNPROCESSABLE_ENTITY)
        }
        R::NotAdmin | R::OwnForbidden | R::WrongNumber | R::NoNumber | R::AlreadyVoted | R::StaleSignIn if votes => {
            Err("who may see a question may deny it")
        }
        R::LongPath => Err("the path is fixed"),
        _ if !votes => Err("signing out reads nothing but the token"),
        _ => Err("no host comes this way, and nobody signs in"),
    }
}

fn sign_in(route: Route, reason: Reason) -> Result<Refused, &'static str> {
    use Reason as R;
    match reason {
        R::ProviderDown if route.path == "/sessions/login" => Ok(Refused::Status(StatusCode::SERVICE_UNAVAILABLE)),
        R::NothingBegun | R::AnotherBrowsersSignIn | R::NoState if route.path == "/callback" => {
            Ok(Refused::Status(StatusCode::BAD_REQUEST))
        }
        R::Head if route.path == "/callback" => Ok(Refused::Status(StatusCode::BAD_REQUEST)),
        R::Put | R::Patch | R::Options | R::MethodOverride => Ok(Refused::Status(StatusCode::METHOD_NOT_ALLOWED)),
        _ => Err("whoever comes here is nobody yet"),
    }
}

fn open(route: Route, reason: Reason) -> Result<Refused, &'static str> {
    use Reason as R;
    match reason {
        R::Put | R::Patch | R::Options | R::MethodOverride => Ok(Refused::Status(StatusCode::METHOD_NOT_ALLOWED)),
        R::LongPath if route.path.contains('{') => Ok(Refused::Status(StatusCode::NOT_FOUND)),
        _ => Err("anybody may read this"),
    }
}

const fn own_page(reason: Reason) -> Result<Refused, &'static str> {
    use Reason as R;
    match reason {
        R::OtherOrigin | R::HiddenOrigin | R::NoOrigin | R::OriginWithAPort | R::CrossSite | R::SameSite => {
            Ok(Refused::Status(StatusCode::FORBIDDEN))
        }
        R::Get | R::Head | R::Put | R::Patch | R::Options | R::MethodOverride => {
            Ok(Refused::Status(StatusCode::METHOD_NOT_ALLOWED))
        }
        R::NotAForm | R::NotUtf8 | R::Oversize => Ok(Refused::Status(StatusCode::BAD_REQUEST)),
        _ => Err("whoever comes here is nobody, and changes a cookie of their own"),
    }
}

/// This server has no token for it; `tests/it/metrics.rs` has the rest.
const fn scraper(reason: Reason) -> Result<Refused, &'static str> {
    match reason {
        Reason::NoCredential | Reason::OtherScheme => Ok(Refused::Status(StatusCode::NOT_FOUND)),
        _ => Err("without a token there is no such route"),
    }
}

fn engine(call: Call, reason: Reason) -> Result<Refused, &'static str> {
    use Reason as R;
    let vote = |refusal| Ok(Refused::Vote(refusal));
    let (votes, approves) = (matches!(call, Call::Approve | Call::Deny), call == Call::Approve);
    match (call, reason) {
        (Call::Open, R::Disabled) => Ok(Refused::AtOnce),
        (Call::Open, R::NonceReused) => Ok(Refused::Nonce),
        (Call::Open, _) => Err("opening asks nobody"),
        (_, R::Stranger | R::NoSuchQuestion) => vote(VoteRefusal::NotFound),
        (Call::Cancel, R::Expired) => Err("taking back what has just ended takes nothing from anybody"),
        (_, R::Settled | R::Expired) => vote(VoteRefusal::AlreadySettled),
        (_, R::AgedOutAdmin | R::StatedOnly) if votes => vote(VoteRefusal::NotFound),
        (_, R::Disabled) if votes => vote(VoteRefusal::Disabled),
        (_, R::TooLongWords) if votes => vote(VoteRefusal::ReasonTooLong { max: 500 }),
        (_, R::NotAdmin) if approves => vote(VoteRefusal::AdminOnly),
        (_, R::OwnForbidden) if approves => vote(VoteRefusal::NotYourOwn),
        (_, R::WrongNumber | R::NoNumber) if approves => vote(VoteRefusal::WrongNumber),
        (_, R::AlreadyVoted) if approves => vote(VoteRefusal::AlreadyVoted),
        (_, R::StaleSignIn) if approves => vote(VoteRefusal::StaleSignIn),
        (Call::Cancel, R::StatedOnly) => Err("a host's word is enough to take a question back"),
        _ => Err("the engine knows neither requests nor sessions"),
    }
}
