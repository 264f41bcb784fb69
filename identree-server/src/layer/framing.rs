//! Requests whose form two readers could take differently, so that a proxy in front and we would not see the same request.
//!
//! hyper refuses most of them (differing lengths, an unknown transfer coding, folded lines); what RFC 9112 asks beyond that is
//! here. The router lies inside: no handler sees such a request.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// The layer: for `axum::middleware::from_fn`, outermost.
pub async fn framing(request: Request, next: Next) -> Response {
    let headers = request.headers();
    // RFC 9112 §3.2: more than one Host is a bad request. None at all tells us nothing we would use.
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        return close((StatusCode::BAD_REQUEST, "one Host header, please\n").into_response());
    }
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    if chunked && headers.contains_key(header::CONTENT_LENGTH) {
        return close((StatusCode::BAD_REQUEST, "a length or chunks, not both\n").into_response());
    }
    let response = next.run(request).await;
    // RFC 9112 §6.1: hyper drops a length that follows the coding, so after chunks nothing on the connection is believed.
    if chunked { close(response) } else { response }
}

fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
