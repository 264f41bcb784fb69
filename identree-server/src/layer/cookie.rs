//! Cookies: reading one by name, and writing ours with all their attributes.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};

/// The names of our cookies: with the `__Host-` prefix (RFC 6265bis) on https, plain on http, which only loopback may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookies {
    secure: bool,
}

/// One of our cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// The browser session.
    Session,
    /// Binds a sign-in under way to the browser that began it.
    SignIn,
    /// The language that the person chose.
    Language,
}

impl Cookies {
    /// `secure` when people reach the server over https.
    pub const fn new(secure: bool) -> Self {
        Self { secure }
    }

    /// The cookie's name.
    pub const fn name(self, cookie: Cookie) -> &'static str {
        match (cookie, self.secure) {
            (Cookie::Session, true) => "__Host-identree_session",
            (Cookie::Session, false) => "identree_session",
            (Cookie::SignIn, true) => "__Host-identree_signin",
            (Cookie::SignIn, false) => "identree_signin",
            (Cookie::Language, true) => "__Host-identree_language",
            (Cookie::Language, false) => "identree_language",
        }
    }

    /// The cookie's value; none if it is absent or sent twice with different values.
    pub fn read(self, headers: &HeaderMap, cookie: Cookie) -> Option<&str> {
        let name = self.name(cookie);
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// The header that sets the cookie. The value must be made of hexadecimal digits or be a language's tag, as all of ours are.
    pub fn set(self, cookie: Cookie, value: &str, lives: Duration) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.name(cookie),
            lives.as_secs()
        );
        HeaderValue::from_str(&text).unwrap_or_else(|_| self.clear(cookie))
    }

    /// The header that removes the cookie.
    pub const fn clear(self, cookie: Cookie) -> HeaderValue {
        HeaderValue::from_static(match (cookie, self.secure) {
            (Cookie::Session, true) => "__Host-identree_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure",
            (Cookie::Session, false) => "identree_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
            (Cookie::SignIn, true) => "__Host-identree_signin=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure",
            (Cookie::SignIn, false) => "identree_signin=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
            (Cookie::Language, true) => "__Host-identree_language=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure",
            (Cookie::Language, false) => "identree_language=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_cookie_and_refuses_a_planted_twin() {
        let cookies = Cookies::new(false);
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(text))]);
            cookies.read(&headers, Cookie::Session).map(str::to_owned)
        };
        assert_eq!(read("a=b; identree_session=12; c=d").as_deref(), Some("12"));
        assert_eq!(read("identree_session=12; identree_session=13"), None);
        assert_eq!(read("xidentree_session=12"), None);
        assert_eq!(Cookies::new(true).name(Cookie::Session), "__Host-identree_session");
    }

    #[test]
    fn sets_every_attribute() {
        let header = Cookies::new(true).set(Cookie::Session, "ab", Duration::from_secs(60));
        assert_eq!(header, "__Host-identree_session=ab; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
    }
}
