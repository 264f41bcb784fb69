//! A person with a browser, as far as a benchmark needs one: signs in at the development provider and presses the button.

use std::net::{SocketAddr, TcpStream};

use crate::Result;
use crate::http::{Connection, Response};

/// A signed-in browser with one kept connection to the server.
pub struct Browser {
    server: Connection<TcpStream>,
    origin: String,
    cookies: Vec<(String, String)>,
}

impl Browser {
    /// Signs in as this person at the development provider.
    ///
    /// # Errors
    /// If a step of the sign-in does not answer with the redirect that it should.
    pub fn sign_in(server: SocketAddr, person: &str) -> Result<Self> {
        let mut browser =
            Self { server: Connection::plain(server)?, origin: format!("http://{server}"), cookies: Vec::new() };
        let begun = browser.call("GET", "/sessions/login?return_to=/", b"")?;
        let (provider, asked) = split(redirect(&begun)?)?;
        let headers = "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\n";
        let body = format!("person={person}");
        let chosen = Connection::plain(provider)?.call("POST", asked, headers, body.as_bytes())?;
        let (_, back) = split(redirect(&chosen)?)?;
        let signed_in = browser.call("GET", back, b"")?;
        redirect(&signed_in)?;
        Ok(browser)
    }

    /// Opens the page of a question and fills in the form of its first button; what [`Browser::press`] sends.
    ///
    /// # Errors
    /// If the page is not there or shows no form.
    pub fn open(&mut self, path: &str) -> Result<String> {
        let page = self.call("GET", path, b"")?;
        let html = String::from_utf8(page.body)?;
        let form = html.split_once("action=\"/api/challenges/approve\"").map_or("", |(_, rest)| rest);
        let form = form.split_once("</form>").map_or("", |(form, _)| form);
        let fields: Vec<_> = form.split("<input type=\"hidden\" ").skip(1).filter_map(field).collect();
        if page.status != 200 || fields.is_empty() {
            return Err(format!("{path} answers {} without a form", page.status).into());
        }
        Ok(fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
    }

    /// Sends the approval and does not wait for the page that answers it.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn press(&mut self, form: &str) -> Result<()> {
        let headers = self.headers();
        Ok(self.server.send("POST", "/api/challenges/approve", &headers, form.as_bytes())?)
    }

    /// Reads the page that answers what was pressed.
    ///
    /// # Errors
    /// If it is an error.
    pub fn pressed(&mut self) -> Result<()> {
        let answer = self.server.receive()?;
        if answer.status < 400 {
            Ok(())
        } else {
            Err(format!("the approval was answered with {}", answer.status).into())
        }
    }

    fn call(&mut self, method: &str, target: &str, body: &[u8]) -> Result<Response> {
        let headers = self.headers();
        let response = self.server.call(method, target, &headers, body)?;
        for cookie in response.headers("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.retain(|(known, _)| known != name);
                if !value.is_empty() {
                    self.cookies.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(response)
    }

    fn headers(&self) -> String {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        format!(
            "Cookie: {cookies}\r\nOrigin: {}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n",
            self.origin
        )
    }
}

fn redirect(response: &Response) -> Result<&str> {
    let location = response.headers("location").next();
    match (response.status, location) {
        (302 | 303, Some(location)) => Ok(location),
        (status, _) => Err(format!("no redirect but {status}: {}", String::from_utf8_lossy(&response.body)).into()),
    }
}

/// Address and target of an `http://` URL on loopback.
fn split(url: &str) -> Result<(SocketAddr, &str)> {
    let rest = url.strip_prefix("http://").ok_or("not an http address")?;
    let (authority, _) = rest.split_once('/').ok_or("an address without a path")?;
    let address = authority.replace("localhost", "127.0.0.1").parse()?;
    Ok((address, &rest[authority.len()..]))
}

/// Name and value of a hidden field; all of ours are plain words and digits, which no escaping changes.
fn field(tag: &str) -> Option<(&str, &str)> {
    let attribute = |name: &str| tag.split_once(&format!("{name}=\""))?.1.split_once('"').map(|(value, _)| value);
    Some((attribute("name")?, attribute("value")?))
}
