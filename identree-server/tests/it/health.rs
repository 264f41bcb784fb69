//! `/livez`, `/readyz`, `/healthz`.

use axum::http::StatusCode;

use crate::Rig;
use crate::process::{exchange, serve, until};

#[tokio::test]
async fn without_a_provider_the_server_is_degraded_and_ready() {
    let rig = Rig::new().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(rig.get(path, None).await.status, StatusCode::OK);
    }
    let answer = rig.get("/healthz", None).await;
    let body: serde_json::Value = answer.json();
    assert_eq!((answer.status, &body["status"]), (StatusCode::OK, &"degraded".into()));
    let all_else =
        serde_json::json!({ "audit": "ok", "clock": "ok", "database": "ok", "disk": "ok", "oidc": "degraded" });
    assert_eq!(body["checks"], all_else);
    assert!(rig.parts.store.probe().await.is_ok());
}

#[test]
fn a_data_directory_that_takes_nothing_is_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let server = serve(&data);
    let disk = || {
        let (status, body) = exchange(&server.address, "GET /healthz HTTP/1.1", "");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        (status, body["status"].clone(), body["checks"]["disk"].clone())
    };
    // How full the machine of the test is, is not known.
    assert_eq!((disk().0, disk().1), (200, "degraded".into()), "there is no provider");
    assert_ne!(disk().2, "unhealthy");
    std::fs::rename(&data, dir.path().join("elsewhere")).unwrap();
    until(503, || {
        let (status, said, disk) = disk();
        (if disk == "unhealthy" { status } else { 0 }, said.to_string())
    });
}
