//! A person's browser: curl, which speaks HTTP/2 to the proxy and keeps cookies by the browsers' rules, `__Host-` included.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use identree_evidence::{Kind, secret as note};

use crate::lines::Lines;

/// Somebody with a browser on a machine of their own.
pub(crate) struct Browser {
    origin: String,
    /// Where its connections come from.
    pub(crate) address: String,
    ca: PathBuf,
    jar: PathBuf,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// An event stream that is being read.
pub(crate) struct Events {
    child: Child,
    pub(crate) lines: Lines,
}

impl Browser {
    pub(crate) fn new(folder: &Path, origin: &str, address: &str) -> Self {
        let jar = folder.join(format!("cookies-{address}"));
        Self { origin: origin.to_owned(), address: address.to_owned(), ca: folder.join("ca.pem"), jar }
    }

    /// Goes through the code flow; the list is its last page.
    pub(crate) fn sign_in(&self, name: &str) -> String {
        let start = self.get(&format!("{}/sessions/login", self.origin));
        let provider = start.header("location").unwrap_or_else(|| panic!("{} {}", start.status, start.body));
        let back = self.post(&provider, &[("person", name)]).header("location").unwrap();
        for (name, value) in url::Url::parse(&back).unwrap().query_pairs() {
            match &*name {
                "code" => note(Kind::Code, &value),
                "state" => note(Kind::State, &value),
                _ => {}
            }
        }
        let home = self.get(&back);
        assert_eq!(home.status / 100, 3, "{} {}", home.head, home.body);
        let list = self.get(&format!("{}/", self.origin));
        assert_eq!(list.status, 200, "{}", list.body);
        back
    }

    /// Opens the page of a question and presses Approve.
    pub(crate) fn approve(&self, page: &str) {
        let answer = self.post(&format!("{}/api/challenges/approve", self.origin), &self.form(page));
        assert_eq!(answer.status, 303, "{} {}", answer.head, answer.body);
    }

    /// What its form sends.
    pub(crate) fn form(&self, page: &str) -> [(&'static str, String); 2] {
        let page = self.get(page);
        assert_eq!(page.status, 200, "{}", page.body);
        let form = ["csrf_token", "challenge_id"].map(|name| (name, hidden(&page.body, name)));
        note(Kind::Csrf, &form[0].1);
        form
    }

    pub(crate) fn get(&self, url: &str) -> Answer {
        self.send(url, &[])
    }

    /// Sends a form as one of our own pages does.
    pub(crate) fn post(&self, url: &str, fields: &[(&str, impl AsRef<str>)]) -> Answer {
        let fields = fields.iter().map(|(name, value)| (name, value.as_ref()));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let origin = url::Url::parse(url).unwrap().origin().ascii_serialization();
        self.send(url, &["--header", &format!("Origin: {origin}"), "--data", &body])
    }

    /// One request, with further arguments for curl.
    pub(crate) fn send(&self, url: &str, arguments: &[&str]) -> Answer {
        let output = self.curl(url, arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        self.note_cookies();
        let last = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
        let Some((head, body)) = last.split_once("\r\n\r\n") else {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Answer { version: String::new(), status: 0, head: why, body: text };
        };
        let mut words = head.split(' ');
        let version = words.next().unwrap().to_owned();
        let status = words.next().unwrap().trim_end().split("\r\n").next().unwrap().parse().unwrap();
        Answer { version, status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Opens a stream of events.
    pub(crate) fn events(&self, url: &str) -> Events {
        let mut command = self.curl(url, &["--no-buffer", "--header", "Accept: text/event-stream"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = Lines::default();
        lines.read(child.stdout.take().unwrap());
        Events { child, lines }
    }

    /// The cookies that it keeps, by name.
    pub(crate) fn cookies(&self) -> Vec<(String, String)> {
        let jar = std::fs::read_to_string(&self.jar).unwrap_or_default();
        let fields = jar.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(|fields| fields.len() == 7);
        fields.map(|fields| (fields[5].to_owned(), fields[6].to_owned())).collect()
    }

    fn curl(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["--disable", "--silent", "--show-error", "--include", "--http2", "--noproxy", "*"]);
        command.args(["--max-time", "120", "--interface", &self.address, "--cacert"]).arg(&self.ca);
        command.arg("--cookie").arg(&self.jar).arg("--cookie-jar").arg(&self.jar).args(arguments).arg(url);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    fn note_cookies(&self) {
        for (name, value) in self.cookies() {
            if name.contains("identree_") && !value.is_empty() {
                note(if name.ends_with("session") { Kind::Session } else { Kind::SignIn }, &value);
            }
        }
    }
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    /// Version, status and body, for what a test says when it fails.
    pub(crate) fn told(&self) -> String {
        let mut text = String::new();
        write!(text, "{} {}\n{}\n\n{}", self.version, self.status, self.head, self.body).unwrap();
        text
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let rest = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {page}"));
    rest.split('"').next().unwrap().to_owned()
}
