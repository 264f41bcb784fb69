//! A host says how its gate stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use identree_core::actor::Whence;
use identree_core::time::Clock;
use identree_core::wire::heartbeat::{Heartbeat, HeartbeatReply, MAX_BODY_BYTES};
use identree_core::wire::v1::VERSION;

use super::Problem;
use crate::heartbeats::Heartbeats;
use crate::layer::body;
use crate::layer::host_auth::AuthenticatedHost;

/// What the route needs.
#[derive(Debug, Clone)]
pub struct HeartbeatApi {
    /// Where they are kept.
    pub heartbeats: Heartbeats,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Keeps it under the name that the host proved; the body names none.
pub(super) async fn heartbeat(
    State(api): State<Arc<HeartbeatApi>>,
    Extension(host): Extension<AuthenticatedHost>,
    request: Request,
) -> Result<Json<HeartbeatReply>, Problem> {
    let (parts, bytes) = request.into_parts();
    let bytes = body::whole(bytes, MAX_BODY_BYTES, &*api.clock).await?;
    let heartbeat: Heartbeat = body::json(&parts.headers, &bytes, |bytes| serde_json::from_slice(bytes))?;
    body::version(heartbeat.v)?;
    if !heartbeat.is_bounded() {
        return Err(Problem::too_long());
    }
    let whence = parts.extensions.get::<Whence>().cloned().unwrap_or_default();
    match api.heartbeats.keep(&host.name, heartbeat, &whence).await {
        Ok(status) => {
            metrics::counter!("identree_heartbeats_total", "status" => status.as_str()).increment(1);
            Ok(Json(HeartbeatReply { v: VERSION, status }))
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a heartbeat could not be kept");
            Err(Problem::unavailable())
        }
    }
}
