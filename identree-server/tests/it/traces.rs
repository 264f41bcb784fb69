//! Traces, as a collector gets them: a contract server written from OpenTelemetry's specification of OTLP over HTTP decodes what the
//! program sends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use identree_core::wire::v1::CHALLENGES;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::process::{added, exchange, identree, send, started};
use crate::question;

/// A collector: its address, and what it was sent: the head in small letters, and the body.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = head.to_ascii_lowercase();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    let mut body = vec![0; length.parse().unwrap()];
                    reader.read_exact(&mut body).unwrap();
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    let _ = tell.send((head, body));
                }
            });
        }
    });
    (address, told)
}

#[test]
fn a_collector_is_told_of_requests_and_of_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (address, told) = collector();
    let secret = added(dir.path(), "web1");
    let mut command = identree(dir.path());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-this-test");
    command.env("OTEL_SERVICE_NAME", "identree-of-this-test");
    command.env("IDENTREE_TRUSTED_PROXIES", "127.0.0.1");
    let mut server = started(command, dir.path());
    assert_eq!(send(&server.address, &secret, "POST", CHALLENGES, &question(1)).0, 201);
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let head = format!("GET /approve/KWXPTA-482913?x=private HTTP/1.1\r\ntraceparent: 00-{trace}-{parent}-01");
    exchange(&server.address, &head, "");
    server.terminate();
    let mut spans: Vec<Span> = Vec::new();
    for (head, body) in told.try_iter() {
        assert!(
            head.starts_with("post /v1/traces http/1.1\r\n") && head.contains("content-type: application/x-protobuf")
        );
        assert!(head.contains("authorization: bearer of-this-test"), "{head}");
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let shown = format!("{request:?}");
        for private in ["ann", "web1", "whoami", "127.0.0.1", "private", "482913"] {
            let of_nobody = !shown.contains(&format!("\"{private}")) && !shown.contains(&format!("/{private}"));
            assert!(of_nobody, "{private}: {shown}");
        }
        assert!(shown.contains("identree-of-this-test"));
        spans.extend(request.resource_spans.into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans));
    }
    let find =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:?}"));
    let asked = find("POST /api/challenge");
    let commit = spans.iter().find(|span| span.name == "commit" && span.parent_span_id == asked.span_id);
    assert!(commit.is_some(), "{spans:?}");
    let read = find("GET /approve/{code}");
    let hex = |bytes: &[u8]| identree_core::text::hex(bytes);
    assert_eq!((hex(&read.trace_id), hex(&read.parent_span_id)), (trace.to_owned(), parent.to_owned()));
    let seal = find("seal");
    assert!(
        seal.parent_span_id.is_empty() && seal.attributes.iter().any(|one| one.key == "identree.seal.events"),
        "{seal:?}"
    );
    let names: std::collections::BTreeSet<_> =
        spans.iter().flat_map(|span| &span.attributes).map(|one| &*one.key).collect();
    let known = ["http.request.method", "http.response.status_code", "http.route", "identree.request.id"];
    let sealing = ["identree.seal.events", "identree.seal.lag_ms"];
    assert_eq!(names, known.into_iter().chain(sealing).collect(), "no attribute but these");
}
