//! A person with a browser: cookies, redirects and the forms of the pages, without the drawing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use identree_evidence::{Kind, secret as note};

use crate::PATIENCE;

#[derive(Clone)]
pub(crate) struct Person {
    origin: String,
    cookies: BTreeMap<String, String>,
}

/// An answer.
struct Page {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Person {
    /// Goes through the code flow as a browser does.
    pub(crate) fn sign_in(origin: &str, name: &str) -> Self {
        let mut person = Self { origin: origin.to_owned(), cookies: BTreeMap::new() };
        let provider = person.get(&format!("{origin}/sessions/login")).location.unwrap();
        let back = person.post(&provider, &[("person", name)]).location.unwrap();
        for (name, value) in url::Url::parse(&back).unwrap().query_pairs() {
            match &*name {
                "code" => note(Kind::Code, &value),
                "state" => note(Kind::State, &value),
                _ => {}
            }
        }
        let home = person.get(&back);
        assert_eq!(home.status / 100, 3, "{}", home.body);
        person
    }

    /// Waits until the list shows this many questions, and returns their pages' addresses.
    pub(crate) fn wait_for(&mut self, count: usize) -> Vec<String> {
        let mut seen = String::new();
        loop {
            let state = self.get(&format!("{}/state?seen={seen}", self.origin));
            assert_eq!(state.status, 200, "{}", state.body);
            let state: serde_json::Value = serde_json::from_str(&state.body).unwrap();
            state["seen"].as_str().unwrap().clone_into(&mut seen);
            if state["waiting"] == count {
                break;
            }
        }
        let list = self.get(&format!("{}/", self.origin)).body;
        let waiting = list.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        waiting.filter(|path| path.starts_with("/approve/")).take(count).map(str::to_owned).collect()
    }

    /// What the page of a question shows.
    pub(crate) fn read(&mut self, question: &str) -> String {
        self.get(&format!("{}{question}", self.origin)).body
    }

    /// Opens the page and presses Approve.
    pub(crate) fn approve(&mut self, question: &str) {
        self.press("/api/challenges/approve", question, "");
    }

    /// Opens the page, writes a reason and presses Deny.
    pub(crate) fn deny(&mut self, question: &str, reason: &str) {
        self.press("/api/challenges/reject", question, reason);
    }

    /// What every form of this person carries, from a page that has one.
    pub(crate) fn token(page: &str) -> String {
        let token = hidden(page, "csrf_token");
        note(Kind::Csrf, token);
        token.to_owned()
    }

    /// Sends a form of one of our pages and gives the answer's status; an error if the connection dies.
    pub(crate) fn try_post(&mut self, path: &str, fields: &[(&str, &str)]) -> std::io::Result<u16> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let url = format!("{}{path}", self.origin);
        self.try_send("POST", &url, &body).map(|page| page.status)
    }

    fn press(&mut self, action: &str, question: &str, reason: &str) {
        let page = self.read(question);
        assert!(page.contains(action), "{page}");
        let (token, id) = (Self::token(&page), hidden(&page, "challenge_id"));
        let fields = [("csrf_token", &*token), ("challenge_id", id), ("reason", reason)];
        assert_eq!(self.try_post(action, &fields).unwrap(), 303);
    }

    fn get(&mut self, url: &str) -> Page {
        self.send("GET", url, "")
    }

    fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", url, &body)
    }

    fn send(&mut self, method: &str, url: &str, body: &str) -> Page {
        self.try_send(method, url, body).unwrap()
    }

    /// What is sent, by HTTP/1.0: the answer ends with the connection.
    pub(crate) fn text(&self, method: &str, url: &str, body: &str) -> String {
        let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut head = format!("{method} /{path} HTTP/1.0\r\nHost: {authority}\r\n");
        if self.owns(authority) {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(head, "Cookie: {}\r\n", cookies.join("; ")).unwrap();
        }
        if method == "POST" {
            write!(head, "Origin: http://{authority}\r\nContent-Length: {}\r\n", body.len()).unwrap();
            head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
        }
        format!("{head}\r\n{body}")
    }

    fn owns(&self, authority: &str) -> bool {
        self.origin.strip_prefix("http://") == Some(authority)
    }

    fn try_send(&mut self, method: &str, url: &str, body: &str) -> std::io::Result<Page> {
        let (authority, _) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let own = self.owns(authority);
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(self.text(method, url, body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let mut page =
            Page { status: head.split(' ').nth(1).unwrap().parse().unwrap(), location: None, body: body.to_owned() };
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("location") {
                page.location =
                    Some(if value.starts_with('/') { format!("http://{authority}{value}") } else { value.to_owned() });
            } else if name.eq_ignore_ascii_case("set-cookie") && own {
                let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
                if !value.is_empty() {
                    note(if name.ends_with("session") { Kind::Session } else { Kind::SignIn }, value);
                }
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(page)
    }
}

/// The value of a hidden field.
fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let rest = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {page}"));
    rest.split('"').next().unwrap()
}
