//! What a collector answers: codes from "HTTP Event Collector: possible error codes" of Splunk's manual.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use serde::Deserialize;

/// Whether it took the events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It did; with a number where the indexer will confirm them.
    Yes(Option<u64>),
    /// Not now.
    Busy,
    /// It did not; the status tells whether it may later.
    No,
    /// It is something else that answers.
    NotACollector,
}

/// Whether the indexer confirmed them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acked {
    /// It did, or it never will and the collector's word counts.
    Yes,
    NotYet,
    No,
}

#[derive(Deserialize)]
struct Reply {
    code: Option<u32>,
    #[serde(rename = "ackId")]
    ack: Option<u64>,
    acks: Option<BTreeMap<String, bool>>,
}

const SUCCESS: u32 = 0;
/// 8: internal error; 9: busy; 18 to 20: unhealthy, its queues are full; 23: shutting down; 24 and up: queues at capacity.
const BUSY: &[u32] = &[8, 9, 18, 19, 20, 23, 24, 25, 26, 27];
const ACK_DISABLED: u32 = 14;

pub(super) fn taken(answer: &Response<Bytes>) -> Taken {
    let reply: Option<Reply> = serde_json::from_slice(answer.body()).ok();
    match (answer.status().is_success(), reply.and_then(|reply| Some((reply.code?, reply.ack)))) {
        (true, Some((SUCCESS, ack))) => Taken::Yes(ack),
        (true, None) => Taken::NotACollector,
        (_, Some((code, _))) if BUSY.contains(&code) => Taken::Busy,
        _ => Taken::No,
    }
}

pub(super) fn acked(answer: &Response<Bytes>, ack: u64) -> Acked {
    let reply: Option<Reply> = serde_json::from_slice(answer.body()).ok();
    match reply {
        Some(Reply { code: Some(ACK_DISABLED), .. }) => Acked::Yes,
        Some(Reply { acks: Some(acks), .. }) if answer.status().is_success() => {
            if acks.get(&ack.to_string()) == Some(&true) { Acked::Yes } else { Acked::NotYet }
        }
        _ => Acked::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Response<Bytes> {
        Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn each_answer_has_its_meaning() {
        for (status, body, meaning) in [
            (200, r#"{"text":"Success","code":0}"#, Taken::Yes(None)),
            (200, r#"{"text":"Success","code":0,"ackId":7}"#, Taken::Yes(Some(7))),
            (200, "<html>sign in</html>", Taken::NotACollector),
            (200, r#"{"status":"ok"}"#, Taken::NotACollector),
            (200, r#"{"text":"Server is busy","code":9}"#, Taken::Busy),
            (503, r#"{"text":"Server is busy","code":9}"#, Taken::Busy),
            (500, r#"{"text":"Internal server error","code":8}"#, Taken::Busy),
            (503, "no JSON", Taken::No),
            (403, r#"{"text":"Invalid token","code":4}"#, Taken::No),
            (400, r#"{"text":"Data channel is missing","code":10}"#, Taken::No),
            (301, r#"{"text":"Success","code":0}"#, Taken::No),
        ] {
            assert_eq!(taken(&answer(status, body)), meaning, "{status} {body}");
        }
        for (status, body, meaning) in [
            (200, r#"{"acks":{"7":true}}"#, Acked::Yes),
            (200, r#"{"acks":{"7":false}}"#, Acked::NotYet),
            (200, r#"{"acks":{"8":true}}"#, Acked::NotYet),
            (400, r#"{"text":"ACK is disabled","code":14}"#, Acked::Yes),
            (503, r#"{"acks":{"7":true}}"#, Acked::No),
            (200, "<html>", Acked::No),
        ] {
            assert_eq!(acked(&answer(status, body), 7), meaning, "{status} {body}");
        }
    }
}
