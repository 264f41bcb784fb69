//! `/livez`, `/readyz`, `/healthz`.

use axum::http::StatusCode;

use crate::Rig;

#[tokio::test]
async fn without_a_provider_the_server_is_degraded_and_ready() {
    let rig = Rig::new().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(rig.get(path, None).await.status, StatusCode::OK);
    }
    let answer = rig.get("/healthz", None).await;
    let body: serde_json::Value = answer.json();
    assert_eq!((answer.status, &body["status"]), (StatusCode::OK, &"degraded".into()));
    let all_else = serde_json::json!({ "audit": "ok", "clock": "ok", "database": "ok", "oidc": "degraded" });
    assert_eq!(body["checks"], all_else);
    assert!(rig.parts.store.probe().await.is_ok());
}
