//! What every page tells the browser: load nothing from elsewhere, show it in no frame, keep no copy.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::around::Around;

const CSP: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'self'";

/// The layer: for [`AroundLayer`](super::around::AroundLayer).
#[derive(Debug, Clone, Copy)]
pub struct SecurityHeaders {
    /// Whether people reach the server over https.
    pub https: bool,
}

impl Around for SecurityHeaders {
    type Kept = ();

    fn before(&self, _: &mut Request) -> Result<(), Box<Response>> {
        Ok(())
    }

    fn after(&self, (): (), response: &mut Response) {
        let headers = response.headers_mut();
        let set = [
            (header::CONTENT_SECURITY_POLICY, CSP),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
        ];
        headers.reserve(set.len() + 2);
        for (name, value) in set {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.https {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        // Assets name their content in their URL and say themselves how long they live.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}
