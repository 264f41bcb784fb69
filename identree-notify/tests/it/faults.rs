//! What goes wrong between a sink and what it posts to, for each sink over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use identree_core::audit::AuditSink;
use identree_core::egress::{HttpClient, HttpLimits, HttpTransport};
use identree_core::retry::Retry;
use identree_core::rng::SeededEntropy;
use identree_core::secret::Secret;
use identree_core::time::SystemClock;
use identree_notify::loki::{LokiSettings, LokiSink};
use identree_notify::splunk::{SplunkSettings, SplunkSink};
use url::Url;

use crate::events::some;
use crate::http::{Reply, serve};

pub(crate) const TOKEN: &str = "hunter2-hunter2";

pub(crate) fn client() -> Arc<dyn HttpTransport> {
    let limits = HttpLimits { whole: Duration::from_secs(2), ..HttpLimits::default() };
    Arc::new(HttpClient::new(limits, None).unwrap())
}

fn splunk(url: &str) -> SplunkSink {
    let settings = SplunkSettings {
        url: url.parse().unwrap(),
        token: Secret::new(TOKEN.to_owned()),
        host: "approve.example".to_owned(),
    };
    SplunkSink::new(settings, client(), Arc::new(SystemClock), &SeededEntropy::new(1)).unwrap()
}

fn loki(url: &str) -> LokiSink {
    let url: Url = url.parse().unwrap();
    let settings = LokiSettings { url, token: Some(Secret::new(TOKEN.to_owned())), tenant: None };
    LokiSink::new(settings, client(), Arc::new(SystemClock)).unwrap()
}

fn both(address: SocketAddr) -> [Box<dyn AuditSink>; 2] {
    let url = format!("http://{address}");
    [Box::new(splunk(&url)), Box::new(loki(&url))]
}

#[tokio::test]
async fn only_the_word_of_the_service_itself_is_success() {
    type Answer = fn() -> Reply;
    let cases: [(Answer, Retry, &str); 15] = [
        (|| Reply::Elsewhere(301), Retry::Never, "answered 301: it wants requests elsewhere"),
        (|| Reply::Elsewhere(302), Retry::Never, "answered 302"),
        (|| Reply::Elsewhere(307), Retry::Never, "answered 307"),
        (|| Reply::Elsewhere(308), Retry::Never, "answered 308"),
        (|| Reply::Silence, Retry::Later, "did not answer in time"),
        (|| Reply::Endless, Retry::Later, "answered more than"),
        (|| Reply::Half, Retry::Later, "broke off"),
        (|| Reply::Answer(429, "slow down".into()), Retry::Later, "answered 429: slow down"),
        (|| Reply::Answer(500, String::new()), Retry::Later, "answered 500"),
        (|| Reply::Answer(503, "no".into()), Retry::Later, "answered 503: no"),
        (|| Reply::Answer(401, format!("who is {TOKEN}?")), Retry::Never, "answered 401: who is …?"),
        (|| Reply::Answer(403, "no".into()), Retry::Never, "answered 403"),
        (|| Reply::Answer(404, "what?\u{1b}[2J".into()), Retry::Never, "answered 404: what?\\u{1b}[2J"),
        (|| Reply::Answer(400, "no".into()), Retry::Never, "answered 400"),
        (|| Reply::Answer(200, "<html>please sign in</html>".into()), Retry::Never, "is the address right?"),
    ];
    for (answer, retry, text) in cases {
        for sink in both(serve(move |_| answer()).await) {
            let error = sink.write(&some(0, 3)).await.unwrap_err();
            assert_eq!(error.retry, retry, "{}: {error}", sink.name());
            assert!(error.text.contains(text), "{}: {text} is not in {error}", sink.name());
            assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
        }
    }
}

#[tokio::test]
async fn nobody_there_and_forbidden_addresses_are_told() {
    let free = SocketAddr::from(([127, 0, 0, 1], crate::peer::free_port()));
    for sink in both(free) {
        let error = sink.write(&some(0, 1)).await.unwrap_err();
        assert!(error.retry == Retry::Later && error.text.contains("cannot be reached"), "{error}");
    }
    for sink in both("169.254.169.254:80".parse().unwrap()) {
        let error = sink.write(&some(0, 1)).await.unwrap_err();
        assert!(error.retry == Retry::Later && error.text.contains("link-local"), "{error}");
    }
}

#[test]
fn an_address_or_token_that_cannot_be_is_refused_at_once() {
    for url in ["http://ann:hunter2@loki:3100", "ftp://loki", "file:///etc/passwd"] {
        let settings = LokiSettings { url: url.parse().unwrap(), token: None, tenant: None };
        let error = LokiSink::new(settings, client(), Arc::new(SystemClock)).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
    let settings = LokiSettings {
        url: "http://loki:3100".parse().unwrap(),
        token: Some(Secret::new("a\nb".to_owned())),
        tenant: None,
    };
    assert!(LokiSink::new(settings, client(), Arc::new(SystemClock)).is_err());
    assert!(!format!("{:?} {:?}", splunk("http://splunk:8088"), loki("http://loki:3100")).contains(TOKEN));
}
