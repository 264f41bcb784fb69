//! The client, and servers that are slow, endless or break off; and where it must not go.

#![cfg(feature = "http")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Name, Resolve, Resolving};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::client::{failure, passed};
use super::*;
use crate::retry::Retry;

/// A server that reads one request's head, writes these pieces, and keeps the connection open or resets it.
async fn server(pieces: Vec<Vec<u8>>, hold: Hold) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            for piece in &pieces {
                let _ = stream.write_all(piece).await;
            }
            match hold {
                Hold::Forever => {
                    tokio::spawn(async move {
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                    });
                }
                Hold::No => drop(stream),
            }
        }
    });
    format!("http://{address}")
}

#[derive(Clone, Copy)]
enum Hold {
    Forever,
    No,
}

fn client(limits: HttpLimits) -> HttpClient {
    HttpClient::new(limits, None).unwrap()
}

fn request(url: &str) -> http::Request<Bytes> {
    http::Request::post(url).header("authorization", "Splunk hunter2").body(Bytes::from_static(b"x")).unwrap()
}

async fn error(url: &str, limits: HttpLimits) -> TransportError {
    client(limits).send(request(url)).await.unwrap_err()
}

#[tokio::test]
async fn an_answer_comes_whole_and_a_redirect_is_not_followed() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect", "200 OK"] {
        let head = format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:9/elsewhere\r\ncontent-length: 4\r\n\r\n");
        let url = server(vec![head.into_bytes(), b"told".to_vec()], Hold::Forever).await;
        let answer = client(HttpLimits::default()).send(request(&url)).await.unwrap();
        assert_eq!(answer.status().as_str(), &status[..3]);
        assert_eq!(answer.headers()["location"], "http://127.0.0.1:9/elsewhere");
        assert_eq!(&**answer.body(), b"told");
    }
}

#[tokio::test]
async fn an_answer_that_is_slow_in_its_head_or_its_body_ends_with_the_deadline() {
    let limits = HttpLimits { whole: Duration::from_millis(200), ..HttpLimits::default() };
    for pieces in [vec![], vec![b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec()]] {
        let url = server(pieces, Hold::Forever).await;
        let error = error(&url, limits).await;
        assert!(matches!(error, TransportError::TimedOut { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Later);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let limits = HttpLimits { answer: 1000, ..HttpLimits::default() };
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()];
    pieces.extend((0..100).map(|_| [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat()));
    let url = server(pieces, Hold::Forever).await;
    assert!(matches!(error(&url, limits).await, TransportError::TooLarge { most: 1000, .. }));
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_is_no_answer() {
    let url = server(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec()], Hold::No).await;
    let error = error(&format!("{url}/secret-path?token=hunter2"), HttpLimits::default()).await;
    assert!(matches!(error, TransportError::Broken { .. }), "{error:?}");
    let mut told = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(each) = cause {
        told += &format!(" {each} {each:?}");
        cause = each.source();
    }
    assert!(!told.contains("hunter2") && !told.contains("secret-path"), "{told}");
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(error(&url, HttpLimits::default()).await, TransportError::Connect { .. }));
    assert!(matches!(error("http://nobody.invalid/", HttpLimits::default()).await, TransportError::Connect { .. }));
}

#[tokio::test]
async fn forbidden_addresses_are_refused_however_they_are_written() {
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0/",
        "https://100.100.100.200/",
    ] {
        assert!(matches!(error(url, HttpLimits::default()).await, TransportError::Forbidden { .. }), "{url}");
    }
    for url in ["http://ann:hunter2@127.0.0.1/", "ftp://127.0.0.1/", "/only/a/path"] {
        let error = error(url, HttpLimits::default()).await;
        assert_eq!(error.retry(), Retry::Never, "{url}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[test]
fn of_what_a_name_resolves_to_only_what_passes_is_connected_to() {
    let addresses = |texts: &[&str]| texts.iter().map(|t| SocketAddr::new(t.parse().unwrap(), 0)).collect::<Vec<_>>();
    let mixed = addresses(&["169.254.169.254", "10.0.0.1", "fe80::1"]);
    assert_eq!(passed(mixed.into_iter()).unwrap().collect::<Vec<_>>(), addresses(&["10.0.0.1"]));
    let Err(refused) = passed(addresses(&["fe80::1", "169.254.169.254"]).into_iter()) else { panic!("it passed") };
    assert_eq!(refused.to_string(), "169.254.169.254 is link-local");
    assert_eq!(passed(std::iter::empty()).unwrap().count(), 0, "the client tells that nothing was found");
}

#[tokio::test]
async fn a_refused_name_is_told_through_all_that_wraps_it() {
    /// What a name server that turned bad might say.
    struct Bad;
    impl Resolve for Bad {
        fn resolve(&self, _: Name) -> Resolving {
            let found = [SocketAddr::from(([169, 254, 169, 254], 0))];
            Box::pin(async move { Ok(passed(found.into_iter())?) })
        }
    }
    let bad = reqwest::Client::builder().no_proxy().dns_resolver(Bad).build().unwrap();
    let error = failure("loki.example", bad.get("http://loki.example/").send().await.unwrap_err());
    assert_eq!(error.to_string(), "loki.example is 169.254.169.254, which is link-local: no request goes there");
}

#[tokio::test]
async fn authorities_must_be_some_and_alone_are_trusted() {
    assert!(matches!(
        HttpClient::new(HttpLimits::default(), Some(b"nothing")),
        Err(HttpClientError::Authorities(None))
    ));
}
