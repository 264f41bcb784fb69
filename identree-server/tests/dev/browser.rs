//! Just enough of a browser: cookies, redirects, one form.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, what fails says where")]

use std::collections::HashMap;

use identree_evidence::{Kind, secret};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, Response, redirect};
use url::Url;

/// A person's browser; its cookies are kept for one host, as browsers do, whatever the port.
pub(crate) struct Browser {
    client: Client,
    cookies: HashMap<String, String>,
}

impl Default for Browser {
    fn default() -> Self {
        // Plain http on loopback only; the client wants to know a TLS provider all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { client, cookies: HashMap::new() }
    }
}

impl Browser {
    /// Goes to a page that wants a sign-in, clicks the person at the development provider, and comes back to the page.
    pub(crate) async fn sign_in(&mut self, page: &str, person: &str) -> String {
        let back = Url::parse(page).unwrap();
        let start =
            Url::parse_with_params(back.join("/sessions/login").unwrap().as_str(), [("return_to", back.path())])
                .unwrap();
        let provider = self.follow(Method::GET, start, &[]).await;
        let at = provider.url().clone();
        let html = provider.text().await.unwrap();
        assert!(html.contains("DEVELOPMENT PROVIDER"), "{at}: {html}");
        let landed = self.follow(Method::POST, at, &[("person", person)]).await;
        // Whoever must type the number is sent on to an address without it.
        assert!(landed.url().path().starts_with("/approve/"), "{}", landed.url());
        landed.text().await.unwrap()
    }

    /// Reads a page.
    pub(crate) async fn read(&mut self, page: &str) -> String {
        self.follow(Method::GET, Url::parse(page).unwrap(), &[]).await.text().await.unwrap()
    }

    /// Presses Approve on the page of a question.
    pub(crate) async fn approve(&mut self, url: &str, page: &str, number: Option<&str>) {
        let [csrf, id] = ["csrf_token", "challenge_id"].map(|name| hidden(page, name));
        secret(Kind::Csrf, &csrf);
        let mut form = vec![("csrf_token", csrf.as_str()), ("challenge_id", id.as_str())];
        form.extend(number.map(|number| ("number", number)));
        let action = Url::parse(url).unwrap().join("/api/challenges/approve").unwrap();
        self.follow(Method::POST, action, &form).await;
    }

    async fn follow(&mut self, mut method: Method, mut url: Url, form: &[(&str, &str)]) -> Response {
        for _ in 0..10 {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let mut request = self.client.request(method.clone(), url.clone()).header(COOKIE, cookies.join("; "));
            if method == Method::POST {
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
                request = request
                    .header(ORIGIN, url.origin().ascii_serialization())
                    .header("sec-fetch-site", "same-origin")
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body);
            }
            let response = request.send().await.unwrap();
            for cookie in response.headers().get_all(SET_COOKIE) {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                note_cookie(name, value);
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            match response.headers().get(LOCATION) {
                Some(to) => {
                    url = url.join(to.to_str().unwrap()).unwrap();
                    note_address(&url);
                }
                None => return response,
            }
            method = Method::GET;
        }
        panic!("too many redirects at {url}");
    }
}

/// Ours; an empty one is being removed.
fn note_cookie(name: &str, value: &str) {
    if name.contains("identree_") && !value.is_empty() {
        secret(if name.ends_with("session") { Kind::Session } else { Kind::SignIn }, value);
    }
}

fn note_address(url: &Url) {
    for (name, value) in url.query_pairs() {
        match &*name {
            "code" => secret(Kind::Code, &value),
            "state" => secret(Kind::State, &value),
            _ => {}
        }
    }
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let field = page
        .split('<')
        .find(|tag| tag.starts_with("input") && tag.contains(&format!("name=\"{name}\"")))
        .unwrap_or_else(|| panic!("no field {name} in:\n{page}"));
    field.split_once("value=\"").unwrap().1.split('"').next().unwrap().to_owned()
}
