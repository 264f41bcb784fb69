//! Syslog against rsyslog.

use std::sync::Arc;

use async_trait::async_trait;
use identree_core::audit::{AuditSink as _, EventKind, EventSeq};
use identree_core::retry::Retry;
use identree_core::sink_suite;
use identree_core::testkit::fakes;
use identree_core::testkit::suite::sink::{Arrived, Destination, Outage};
use identree_core::time::{ManualClock, SystemClock};
use identree_notify::syslog::{SyslogAddress, SyslogSink};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::events::{line, parsed, sealed, some};
use crate::rsyslog::{Rsyslog, Way};

fn sink(scheme: &str, port: u16, authority: Option<&str>) -> SyslogSink {
    let address: SyslogAddress = format!("{scheme}://127.0.0.1:{port}").parse().unwrap();
    SyslogSink::new(address, "approve.example", authority.map(str::as_bytes), Arc::new(SystemClock)).unwrap()
}

async fn with(way: Way) -> (SyslogSink, Rsyslog) {
    let rsyslog = Rsyslog::start(way).await;
    let (scheme, authority) = match way {
        Way::Udp => ("udp", None),
        Way::Tcp => ("tcp", None),
        Way::Tls => ("tls", Some(rsyslog.authority.as_str())),
    };
    (sink(scheme, rsyslog.port, authority), rsyslog)
}

/// Which event a message of syslog is.
fn seq(message: &Value) -> EventSeq {
    let data = message["structured-data"].as_str().unwrap();
    let (_, rest) = data.split_once("seq=\"").unwrap();
    EventSeq(rest.split('"').next().unwrap().parse().unwrap())
}

#[async_trait]
impl Destination for Rsyslog {
    async fn arrived(&self) -> Vec<Arrived> {
        let messages = self.messages().await;
        messages
            .iter()
            .map(|message| Arrived { seq: seq(message), text: message["msg"].as_str().unwrap().to_owned() })
            .collect()
    }
    async fn fail(&self, outage: Outage) -> bool {
        // What it had read it has handed on: a crash of its own would lose it, and no sender can know.
        self.messages().await;
        if outage == Outage::Refuses {
            return false;
        }
        self.kill();
        true
    }
    async fn mend(&self) {
        self.run().await;
    }
}

macro_rules! suites {
    ($($name:ident $way:expr;)*) => {
        $(mod $name {
            use super::*;
            sink_suite!(suite, with($way));
        })*
    };
}
suites! {
    over_udp Way::Udp;
    over_tcp Way::Tcp;
    over_tls Way::Tls;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_parses_is_what_was_said() {
    let (sink, rsyslog) = with(Way::Tcp).await;
    let mut denied = fakes::event_about(1, EventKind::ChallengeDenied, &fakes::pending(1)).with("reason", "nö \"]\\\n");
    denied.actor = Some(fakes::user("ada"));
    let events = [some(0, 1).remove(0), sealed(1, &denied), sealed(2, &fakes::event(2, EventKind::SignInFailed))];
    assert_eq!(sink.write(&events).await.unwrap(), EventSeq(2));
    let messages = rsyslog.messages().await;
    assert_eq!(messages.len(), 3);
    for (message, event) in messages.iter().zip(&events) {
        assert_eq!(message["hostname"], "approve.example");
        assert_eq!((&message["app-name"], &message["procid"]), (&"identree".into(), &"-".into()));
        assert_eq!(message["msgid"], event.event.kind.as_str());
        assert_eq!(message["syslogfacility-text"], "authpriv");
        assert_eq!(message["timereported"].as_str().unwrap().replace("+00:00", "Z"), event.event.at.to_string());
        let text = message["msg"].as_str().unwrap().trim_start().trim_start_matches('\u{feff}');
        assert_eq!(text, line(event));
    }
    let all = |name: &str| messages.iter().map(|message| message[name].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(all("pri"), ["86", "85", "84"]);
    assert_eq!(all("syslogseverity-text"), ["info", "notice", "warning"]);
    assert!(all("structured-data")[1].starts_with("[identree@32473 seq=\"1\" id=\""), "{:?}", all("structured-data"));
    assert!(all("structured-data")[1].ends_with("username=\"ann\" hostname=\"web-1.example\" actor=\"ada\"]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datagram_is_never_longer_than_receivers_take() {
    let (sink, rsyslog) = with(Way::Udp).await;
    let long = fakes::event_about(1, EventKind::ChallengeDenied, &fakes::pending(1)).with("reason", "x".repeat(5000));
    sink.write(&[some(0, 1).remove(0), sealed(1, &long)]).await.unwrap();
    let messages = rsyslog.messages().await;
    let shortened: Vec<_> = messages
        .iter()
        .map(|message| {
            parsed(message["msg"].as_str().unwrap().trim_start().trim_start_matches('\u{feff}'))["shortened"] == true
        })
        .collect();
    assert_eq!(shortened, [false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_killed_with_messages_unread_gets_them_again() {
    let (sink, rsyslog) = with(Way::Tcp).await;
    sink.write(&some(0, 5)).await.unwrap();
    assert_eq!(rsyslog.messages().await.len(), 5);
    // It stands still, and the system takes what it is sent.
    rsyslog.pause().await;
    assert_eq!(sink.write(&some(5, 20)).await.unwrap(), EventSeq(24));
    rsyslog.kill();
    rsyslog.run().await;
    sink.write(&some(25, 1)).await.unwrap();
    let mut seqs: Vec<_> = rsyslog.messages().await.iter().map(|message| seq(message).0).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs, (0..26).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_somebody_else_is_refused_until_it_is_mended() {
    let (sink, rsyslog) = with(Way::Tls).await;
    rsyslog.kill();
    rsyslog.present("bad");
    rsyslog.run().await;
    let error = sink.write(&some(0, 1)).await.unwrap_err();
    assert_eq!(error.retry, Retry::Never, "{error}");
    assert!(error.text.contains("IDENTREE_AUDIT_SYSLOG_CA_FILE"), "{error}");
    assert!(rsyslog.messages().await.is_empty());
    rsyslog.kill();
    rsyslog.present("good");
    rsyslog.run().await;
    sink.write(&some(0, 1)).await.unwrap();
    assert_eq!(rsyslog.messages().await.len(), 1);
}

/// Reads one whole message from a new connection, by its count.
async fn one_message(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    loop {
        stream.read_buf(&mut got).await.unwrap();
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((count, rest)) = text.split_once(' ')
            && rest.len() >= count.parse::<usize>().unwrap()
        {
            assert_eq!(count.parse::<usize>().unwrap(), rest.len(), "one message and no more: {text}");
            return (stream, rest.to_owned());
        }
    }
}

/// As a load balancer does with idle connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_after_a_while_is_seen_before_writing_and_repeats_nothing() {
    let (listener, clock) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), ManualClock::default());
    let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let sink = SyslogSink::new(address, "approve.example", None, Arc::new(clock.clone())).unwrap();
    for seq in 0..3 {
        let events = some(seq, 1);
        let (written, (stream, message)) = tokio::join!(sink.write(&events), one_message(&listener));
        written.unwrap();
        assert!(message.contains(&format!(" seq=\"{seq}\" ")), "{message}");
        drop(stream);
        clock.advance(std::time::Duration::from_secs(11));
    }
}

#[tokio::test]
async fn nobody_there_is_told_and_comes_back() {
    for scheme in ["tcp", "tls"] {
        let sink = sink(scheme, crate::peer::free_port(), None);
        let error = sink.write(&some(0, 1)).await.unwrap_err();
        assert_eq!(error.retry, Retry::Later, "{error}");
        assert!(error.text.starts_with(&format!("{scheme}://127.0.0.1:")), "{error}");
    }
    let forbidden: SyslogAddress = "tcp://169.254.169.254:601".parse().unwrap();
    let sink = SyslogSink::new(forbidden, "", None, Arc::new(SystemClock)).unwrap();
    assert!(sink.write(&some(0, 1)).await.unwrap_err().text.contains("link-local"));
}
