use std::net::SocketAddr;

use identree_core::actor::{Actor, Strength};
use identree_core::id::ChallengeId;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

struct World {
    engine: Engine,
    server: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

/// The real thing on a free port.
async fn world() -> World {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (server, engine) = (listener.local_addr().unwrap(), engine().await.unwrap());
    let (stop, stopped) = oneshot::channel();
    let running = engine.clone();
    let serving = tokio::spawn(async move {
        serve(listener, running, async { drop(stopped.await) }).await.unwrap();
    });
    World { engine, server, stop: Some(stop), serving }
}

impl World {
    async fn deploy(&self, to: &str, headers: &str) -> String {
        demo::post(self.server, &format!("/deploy?to={to}&version=4.2"), headers, "").await.unwrap()
    }

    fn asked(&self, headers: &'static str) -> JoinHandle<std::io::Result<String>> {
        let server = self.server;
        tokio::spawn(async move { demo::post(server, "/deploy?to=shop/production&version=4.2", headers, "").await })
    }

    async fn waiting(&self, count: usize) -> Vec<ChallengeId> {
        let ada =
            Actor::vouched("test", UserName::parse("ada").unwrap(), self.engine.clock().now(), Strength::SignedIn);
        let mut changes = self.engine.changes();
        loop {
            let waiting = self.engine.visible(&ada);
            if waiting.len() == count {
                return waiting.iter().map(|record| record.question().id).collect();
            }
            changes.changed().await.unwrap();
        }
    }

    async fn vote(&self, id: ChallengeId, who: &str, vote: &str) -> String {
        let form = "content-type: application/x-www-form-urlencoded\r\n";
        demo::post(self.server, &format!("/questions/{id}"), form, &format!("who={who}&vote={vote}")).await.unwrap()
    }
}

const ANN: &str = "x-example-user: ann\r\n";
const KEYED: &str = "x-example-user: ann\r\nidempotency-key: 1\r\n";

#[tokio::test]
async fn the_demonstration_tells_the_whole_way() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut out = Vec::new();
    demo::run(listener, engine().await.unwrap(), &mut out).await.unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("200 OK: deployed 4.2 to shop/staging, approved by a rule"), "{out}");
    assert!(out.ends_with("ann: 200 OK: deployed 4.2 to shop/production, approved by ada\n"), "{out}");
}

#[tokio::test]
async fn nobody_else_and_nothing_else_gets_through() {
    let world = world().await;
    assert!(world.deploy("shop/staging", "").await.starts_with("401 "));
    assert!(world.deploy("%20", ANN).await.starts_with("400 "));
    assert!(world.deploy("shop/other", ANN).await.starts_with("403 "), "no rule is no");
    let waits = world.asked(ANN);
    let id = world.waiting(1).await[0];
    for who in ["ann", "mallory"] {
        assert!(world.vote(id, who, "approve").await.starts_with("403 "), "{who} decides nothing");
    }
    assert!(world.vote(id, "ada", "deny").await.starts_with("303 "));
    assert_eq!(waits.await.unwrap().unwrap(), "403 Forbidden: denied by ada");
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_no_question() {
    let world = world().await;
    let waits = world.asked(ANN);
    world.waiting(1).await;
    waits.abort(); // closes the connection, as Ctrl-C in curl does
    world.waiting(0).await;
}

#[tokio::test]
async fn a_key_may_hang_up_and_come_back_and_deploys_once() {
    let world = world().await;
    let waits = world.asked(KEYED);
    let id = world.waiting(1).await[0];
    waits.abort();
    assert!(world.vote(id, "ada", "approve").await.starts_with("303 "));
    assert!(world.deploy("shop/production", KEYED).await.starts_with("200 OK: deployed"));
    assert!(world.deploy("shop/production", KEYED).await.starts_with("409 "));
}

#[tokio::test]
async fn a_stop_answers_whoever_waits() {
    let mut world = world().await;
    let waits = world.asked(ANN);
    world.waiting(1).await;
    drop(world.stop.take());
    assert!(waits.await.unwrap().unwrap().starts_with("503 "));
    world.serving.await.unwrap();
}
