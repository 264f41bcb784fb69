//! The little of HTTP/1.1 (RFC 9112) that is needed: one request, one bounded response with a length or in chunks.

use std::fmt::Write as _;

/// The longest status line and header section.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The longest body.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// The longest line that begins a chunk: a size and a little extension.
const MAX_CHUNK_LINE_BYTES: usize = 256;
/// The most bytes read for one response: body, head, and what chunks add when they are as small as can be.
const MAX_RESPONSE_BYTES: usize = 8 * MAX_BODY_BYTES;
/// The most interim responses before the one that counts.
const MAX_INTERIM: usize = 4;

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the connection may carry another request.
    pub(crate) keep: bool,
}

/// Why the bytes are not a response we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the header section is malformed")]
    Head,
    #[error("the response is too large")]
    TooLarge,
    #[error("neither a length nor chunks say where the body ends")]
    NoLength,
    #[error("the chunks are malformed")]
    Chunk,
}

/// The bytes of a request.
pub(super) fn request(
    method: &str,
    target: &str,
    authority: &str,
    authorization: Option<&str>,
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut head = String::with_capacity(512);
    // Writing to a String cannot fail.
    let _ = write!(head, "{method} {target} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(authorization) = authorization {
        let _ = write!(head, "Authorization: {authorization}\r\n");
    }
    let _ = write!(
        head,
        "Accept: application/json, application/problem+json\r\nUser-Agent: identree-pam/{}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(body) = body {
        let _ = write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// Reads one response from all bytes received so far: `None` while more are needed.
///
/// # Errors
/// [`HttpError`] as soon as the bytes cannot become a response.
pub(crate) fn response(received: &[u8]) -> Result<Option<Response>, HttpError> {
    final_response(received, MAX_INTERIM)
}

fn final_response(received: &[u8], interim_left: usize) -> Result<Option<Response>, HttpError> {
    if received.len() > MAX_RESPONSE_BYTES {
        return Err(HttpError::TooLarge);
    }
    let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") else {
        // A peer that does not speak HTTP is found out at once, not when it has filled the buffer.
        let start = &received[..received.len().min(7)];
        if !b"HTTP/1.".starts_with(start) {
            return Err(HttpError::Head);
        }
        return if received.len() > MAX_HEAD_BYTES { Err(HttpError::TooLarge) } else { Ok(None) };
    };
    if end > MAX_HEAD_BYTES {
        return Err(HttpError::TooLarge);
    }
    let head = Head::parse(&received[..end])?;
    let rest = &received[end + 4..];
    if (100..200).contains(&head.status) {
        // Interim responses (RFC 9110 §15.2) are passed over; switching protocols was not asked for.
        let endless = head.status == 101 || interim_left == 0;
        return if endless { Err(HttpError::Head) } else { final_response(rest, interim_left - 1) };
    }
    let body = match head.framing {
        Framing::None => Some((Vec::new(), 0)),
        Framing::Length(length) => rest.get(..length).map(|body| (body.to_vec(), length)),
        Framing::Chunks => chunks(rest)?,
    };
    Ok(body.map(|(body, used)| {
        // Bytes beyond the response answer nothing we asked.
        Response { status: head.status, body, keep: head.keep && used == rest.len() }
    }))
}

enum Framing {
    None,
    Length(usize),
    Chunks,
}

struct Head {
    status: u16,
    framing: Framing,
    keep: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, HttpError> {
        const BAD: HttpError = HttpError::Head;
        let text = std::str::from_utf8(bytes).map_err(|_| BAD)?;
        let mut lines = text.split("\r\n");
        let status_line = lines.next().ok_or(BAD)?;
        let (version, rest) = status_line.split_once(' ').ok_or(BAD)?;
        let mut keep = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(BAD),
        };
        let digits = rest.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).ok_or(BAD)?;
        if !rest[3..].is_empty() && !rest[3..].starts_with(' ') {
            return Err(BAD);
        }
        let status = digits.parse().ok().filter(|status| *status >= 100).ok_or(BAD)?;
        let (mut length, mut chunked) = (None, false);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(BAD)?;
            if name.is_empty()
                || name.contains(|c: char| c.is_whitespace() || c.is_control())
                || value.contains(['\r', '\n', '\0'])
            {
                return Err(BAD);
            }
            let value = value.trim_matches([' ', '\t']);
            if name.eq_ignore_ascii_case("content-length") {
                let number =
                    Some(value).filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit())).ok_or(BAD)?;
                let number: usize = number.parse().map_err(|_| HttpError::TooLarge)?;
                if length.replace(number).is_some_and(|earlier| earlier != number) {
                    return Err(BAD);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if chunked || !value.eq_ignore_ascii_case("chunked") {
                    return Err(BAD);
                }
                chunked = true;
            } else if name.eq_ignore_ascii_case("connection") {
                keep &= !value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"));
            }
        }
        let framing = match (length, chunked) {
            // Both together is how responses are smuggled (RFC 9112 §6.3).
            (Some(_), true) => return Err(BAD),
            (None, true) => Framing::Chunks,
            (Some(length), false) if length > MAX_BODY_BYTES => return Err(HttpError::TooLarge),
            (Some(length), false) => Framing::Length(length),
            (None, false) if status < 200 || status == 204 || status == 304 => Framing::None,
            (None, false) => return Err(HttpError::NoLength),
        };
        Ok(Self { status, framing, keep })
    }
}

/// The body in chunks (RFC 9112 §7.1) and how many bytes it took; trailers are read over.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line(&bytes[at..], MAX_CHUNK_LINE_BYTES)? else { return Ok(None) };
        at += line.len() + 2;
        let size = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if size.is_empty() || size.len() > 8 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(HttpError::Chunk);
        }
        let size =
            std::str::from_utf8(size).ok().and_then(|s| usize::from_str_radix(s, 16).ok()).ok_or(HttpError::Chunk)?;
        if size == 0 {
            break;
        }
        if body.len() + size > MAX_BODY_BYTES {
            return Err(HttpError::TooLarge);
        }
        let Some(chunk) = bytes.get(at..at + size) else { return Ok(None) };
        match bytes.get(at + size..at + size + 2) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(HttpError::Chunk),
        }
        body.extend_from_slice(chunk);
        at += size + 2;
    }
    let trailers = at;
    loop {
        let Some(line) = line(&bytes[at..], MAX_HEAD_BYTES)? else { return Ok(None) };
        at += line.len() + 2;
        if line.is_empty() {
            return Ok(Some((body, at)));
        }
        if at - trailers > MAX_HEAD_BYTES {
            return Err(HttpError::TooLarge);
        }
    }
}

fn line(bytes: &[u8], max: usize) -> Result<Option<&[u8]>, HttpError> {
    match bytes.windows(2).take(max + 1).position(|w| w == b"\r\n") {
        Some(end) => Ok(Some(&bytes[..end])),
        None if bytes.len() > max + 1 => Err(HttpError::TooLarge),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<Response>, HttpError> {
        response(text.as_bytes())
    }

    fn ok(status: u16, body: &str, keep: bool) -> Result<Option<Response>, HttpError> {
        Ok(Some(Response { status, body: body.into(), keep }))
    }

    #[test]
    fn responses_with_a_length_and_in_chunks() {
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), ok(200, "{}", true));
        assert_eq!(read("HTTP/1.1 200\r\ncontent-length: 2\r\nConnection: x, Close\r\n\r\n{}"), ok(200, "{}", false));
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), ok(204, "", true));
        assert_eq!(
            read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n"),
            ok(200, "{}", true)
        );
        assert_eq!(
            read("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ok(200, "", true)
        );
        assert_eq!(read("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nxyz"), ok(200, "x", false));
    }

    #[test]
    fn what_is_not_a_response_is_found_out_early() {
        for (text, error) in [
            ("SSH-2.0-OpenSSH", HttpError::Head),
            ("HTTP/2 200\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 20\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 2000\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 001 OK\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", HttpError::Head),
            ("HTTP/1.1 200 OK\r\n\r\n", HttpError::NoLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 262145\r\n\r\n", HttpError::TooLarge),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", HttpError::Chunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40001\r\n", HttpError::TooLarge),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", HttpError::Chunk),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", HttpError::Head),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(4000));
        assert_eq!(read(&endless), Err(HttpError::TooLarge));
    }

    proptest! {
        #[test]
        fn nothing_less_than_the_whole_is_a_response(body in "[a-z]{0,20}", at in any::<prop::sample::Index>(), chunked in any::<bool>()) {
            let text = if chunked {
                let chunks: String = body.as_bytes().chunks(3).map(|c| format!("{:x}\r\n{}\r\n", c.len(), std::str::from_utf8(c).unwrap())).collect();
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
            } else {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            };
            prop_assert_eq!(read(&text), ok(200, &body, true));
            prop_assert_eq!(read(&text[..at.index(text.len())]), Ok(None));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), head in any::<bool>()) {
            let start: &[u8] = if head { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { b"" };
            let _ = response(&[start, &bytes].concat());
        }
    }
}
