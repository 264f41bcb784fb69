//! The sealed log of a running server: read over HTTP, exported beside it, verified, and rid of a person.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use identree_evidence::{Kind, secret as note};

use crate::process::{Running, added, exchange, identree, started, verb};

const TOKEN: &str = "audit-read-token-of-these-tests-31ce";

fn get(server: &Running, path: &str) -> (u16, String) {
    exchange(&server.address, &format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}"), "")
}

/// Head and body, which may be any bytes.
fn bytes(server: &Running, path: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

/// Waits for a checkpoint over at least so many entries; tells its note and size.
#[expect(clippy::disallowed_methods, reason = "a real process runs by the real clock")]
fn checkpoint(server: &Running, entries: u64) -> (String, u64) {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let (status, note) = get(server, "/log/checkpoint");
        let size = note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0);
        if status == 200 && size >= entries {
            return (note, size);
        }
        assert!(Instant::now() < deadline, "{status} {note}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn audit(data: &Path, arguments: &[&str]) -> (i32, String) {
    let output = verb(data, &[&["audit"], arguments].concat());
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn auditors_with_the_token_read_the_log_and_nobody_else() {
    let (dir, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let closed = started(identree(dir.path()), dir.path());
    assert_eq!(get(&closed, "/log/checkpoint").0, 404, "without a token in the configuration");
    drop(closed);
    note(Kind::Metrics, TOKEN);
    let mut command = identree(dir.path());
    command.env("IDENTREE_AUDIT_READ_TOKEN", TOKEN);
    let server = started(command, dir.path());
    for host in ["web1", "web2", "web3"] {
        added(dir.path(), host);
    }
    let (newest, size) = checkpoint(&server, 4);
    for path in ["/log/checkpoint", "/log/key", "/log/tile/0/000"] {
        let refused = exchange(&server.address, &format!("GET {path} HTTP/1.1"), "");
        assert_eq!(refused, (401, "the bearer token was not accepted\n".to_owned()), "{path}");
    }
    let copy = work.path().join("copy").display().to_string();
    let (code, said) = audit(dir.path(), &["export", &copy]);
    assert_eq!(code, 0, "{said}");
    let (status, key) = get(&server, "/log/key");
    assert_eq!((status, key.as_str()), (200, audit(dir.path(), &["key"]).1.as_str()));
    std::fs::write(work.path().join("kept"), newest).unwrap();
    let kept = work.path().join("kept").display().to_string();
    let (code, said) = audit(dir.path(), &["verify", &copy, "--key", key.trim(), "--checkpoint", &kept]);
    assert_eq!(code, 0, "{said}");

    let entries = format!("tile/entries/000.p/{size}");
    let (head, served) = bytes(&server, &format!("/log/{entries}"));
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("cache-control: private, max-age=31536000, immutable"),
        "{head}"
    );
    let file = std::fs::read(Path::new(&copy).join(&entries)).unwrap_or_else(|_| {
        // The export has seen a later checkpoint: that one begins with this.
        let longer = std::fs::read_dir(Path::new(&copy).join("tile/entries/000.p")).unwrap().next().unwrap().unwrap();
        std::fs::read(longer.path()).unwrap()[..served.len()].to_vec()
    });
    assert_eq!(served, file);
    for path in ["/log/tile/entries/000", "/log/tile/entries/../../x", "/log/tile/personal/000", "/log/tile/0/001"] {
        assert_eq!(get(&server, path).0, 404, "{path}");
    }

    // Who ran the verbs is a person of the log too.
    let who = format!("uid:{}", rustix::process::getuid().as_raw());
    let (code, said) = audit(dir.path(), &["tail", "-n", "50"]);
    assert!(code == 0 && said.contains(&format!("host_added  target=web3  actor={who}")), "{said}");
    let (code, said) = audit(dir.path(), &["erase", &who, "--yes"]);
    assert!(code == 0, "{said}");
    let (_, said) = audit(dir.path(), &["tail", "-n", "50"]);
    assert!(said.contains("person_erased") && said.contains("host_added  target=web3"), "{said}");
    let told: Vec<_> = said.lines().filter(|line| line.contains(&who)).collect();
    assert!(told.iter().all(|line| line.contains("person_erased")), "only the erasing itself: {told:?}");
    added(dir.path(), "web4");
    checkpoint(&server, size + 2);
    let after = work.path().join("after").display().to_string();
    let (code, said) = audit(dir.path(), &["export", &after, "--with-personal"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = audit(dir.path(), &["verify", &after, "--key", key.trim(), "--checkpoint", &kept]);
    assert!(code == 0 && said.contains("erased"), "{said}");
}
