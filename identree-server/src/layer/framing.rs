//! Requests whose form two readers could take differently, so that a proxy in front and we would not see the same request.
//!
//! hyper refuses most of them (differing lengths, an unknown transfer coding, folded lines); what RFC 9112 asks beyond that is
//! here. The router lies inside: no handler sees such a request.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::around::Around;

/// The layer, outermost: for [`AroundLayer`](super::around::AroundLayer).
#[derive(Debug, Clone, Copy)]
pub struct Framing;

/// Whether the request's body came in chunks.
#[derive(Debug, Clone, Copy)]
pub struct Chunked(bool);

impl Around for Framing {
    type Kept = Chunked;

    fn before(&self, request: &mut Request) -> Result<Chunked, Box<Response>> {
        let headers = request.headers();
        // RFC 9112 §3.2: more than one Host is a bad request. None at all tells us nothing we would use.
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(refuse("one Host header, please\n"));
        }
        let chunked = headers.contains_key(header::TRANSFER_ENCODING);
        if chunked && headers.contains_key(header::CONTENT_LENGTH) {
            return Err(refuse("a length or chunks, not both\n"));
        }
        Ok(Chunked(chunked))
    }

    fn after(&self, Chunked(chunked): Chunked, response: &mut Response) {
        // RFC 9112 §6.1: hyper drops a length that follows the coding, so after chunks nothing on the connection is believed.
        if chunked {
            close(response);
        }
    }
}

fn refuse(text: &'static str) -> Box<Response> {
    let mut response = (StatusCode::BAD_REQUEST, text).into_response();
    close(&mut response);
    Box::new(response)
}

fn close(response: &mut Response) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}
