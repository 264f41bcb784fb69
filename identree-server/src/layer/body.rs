//! The body of a request of the host API, whole, bounded in size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use identree_core::text::visible;
use identree_core::time::Clock;
use identree_core::wire::v1;

use crate::api::Problem;

/// A body takes milliseconds. Nothing is known of its sender before it is here, so nobody may hold a connection with it.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Reads a body of at most so many bytes.
///
/// # Errors
/// The problem to answer with.
pub async fn whole(body: Body, most: usize, clock: &dyn Clock) -> Result<Bytes, Problem> {
    let arrived = tokio::select! {
        biased;
        arrived = Limited::new(body, most).collect() => arrived,
        // A timer is made only where the body is not there yet.
        () = async { clock.sleep_until(clock.now() + BODY_WITHIN).await } => return Err(Problem::too_slow()),
    };
    match arrived {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::body_too_large().with_detail(format!("at most {most} bytes")))
        }
        Err(_) => Err(Problem::not_json().with_detail("the body ended early")),
    }
}

/// Reads the JSON in a body by this parser.
///
/// # Errors
/// The problem to answer with.
pub fn json<T>(
    headers: &HeaderMap,
    body: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<T, serde_json::Error>,
) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::not_json_type());
    }
    parse(body).map_err(|error| {
        let detail = visible(&error.to_string()).into_owned();
        let problem = if error.is_data() { classify(&detail) } else { Problem::not_json() };
        problem.with_detail(detail)
    })
}

/// Refuses a version that is not spoken here.
///
/// # Errors
/// The problem to answer with.
pub fn version(v: u8) -> Result<(), Problem> {
    if v == v1::VERSION {
        return Ok(());
    }
    Err(Problem::unsupported_version().with_detail(format!("v must be {}", v1::VERSION)))
}

/// Which problem a message of serde tells of: those of names are our own (`identree_core::id::NameError`), those of
/// structure are serde's. The bad-input tests hold both in place.
fn classify(message: &str) -> Problem {
    let says = |part| message.contains(part);
    if says("unknown field") {
        Problem::unknown_field()
    } else if says("missing field") {
        Problem::missing_field()
    } else if says("is longer than") {
        Problem::too_long()
    } else if says("may not contain") {
        Problem::forbidden_character()
    } else {
        Problem::invalid_request()
    }
}
