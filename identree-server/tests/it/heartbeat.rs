//! `/api/agent/heartbeat` and what becomes of it: the page of hosts.

use std::time::Duration;

use axum::http::StatusCode;
use identree_core::audit::EventKind;
use identree_core::directory::Person;
use identree_core::id::{GroupName, HostName};
use identree_core::time::{Clock as _, Timestamp};
use identree_core::wire::heartbeat::{Asks, BreakGlass, Finding, Heartbeat, HeartbeatReply, Level, PATH};

use crate::{AUTHORITY, Answer, Host, Rig, name};

pub(super) fn good(rig: &Rig) -> Heartbeat {
    let both = Asks { auth: true, account: true };
    let now = rig.clock.now().as_secs();
    Heartbeat {
        v: 1,
        version: "0.1.0".into(),
        os_info: "Debian GNU/Linux 12".into(),
        config_digest: "00".repeat(32),
        time_secs: now,
        services: [("sudo".to_owned(), both)].into(),
        plugin: true,
        break_glass: BreakGlass { usable: true, created_secs: now, used: 0 },
    }
}

async fn beat(rig: &Rig, host: &Host, heartbeat: &Heartbeat) -> Answer {
    let body = serde_json::to_vec(heartbeat).unwrap();
    rig.send(host.signed(("POST", PATH, AUTHORITY), rig.clock.now().as_secs(), &body)).await
}

async fn web1(rig: &Rig) -> (Level, Vec<Finding>) {
    let status = rig.hosts.heartbeats().statuses().await.unwrap().remove(0);
    (status.level, status.findings)
}

#[tokio::test]
async fn a_host_is_green_by_its_word_and_grows_red_in_silence() {
    let rig = Rig::new().await;
    assert_eq!(web1(&rig).await, (Level::Amber, vec![Finding::Never]));
    for _ in 0..2 {
        let answer = beat(&rig, &rig.host, &good(&rig)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.json::<HeartbeatReply>(), HeartbeatReply { v: 1, status: Level::Green });
        rig.clock.advance(Duration::from_secs(300));
    }
    assert_eq!(web1(&rig).await, (Level::Green, vec![]));
    rig.clock.advance(Duration::from_secs(300));
    assert_eq!(web1(&rig).await, (Level::Amber, vec![Finding::Quiet(10)]));
    rig.hosts.heartbeats().look().await.unwrap();
    rig.clock.advance(Duration::from_secs(50 * 60));
    assert_eq!(web1(&rig).await, (Level::Red, vec![Finding::Lost(60)]));
    for _ in 0..2 {
        rig.hosts.heartbeats().look().await.unwrap();
    }
    beat(&rig, &rig.host, &good(&rig)).await;
    let changes: Vec<_> = rig.journal().await.into_iter().filter(|e| e.kind == EventKind::HostStatusChanged).collect();
    let steps =
        changes.iter().map(|event| (event.details.get("was").map_or("-", |was| was), &*event.details["status"]));
    let expected = [("-", "green"), ("green", "amber"), ("amber", "red"), ("red", "green")];
    assert!(steps.eq(expected), "each change is one event, and nothing else is: {changes:?}");
}

#[tokio::test]
async fn what_a_host_says_counts_for_itself_and_for_this_registration_alone() {
    let rig = Rig::new().await;
    let mut open = good(&rig);
    open.services.insert("sudo".into(), Asks { auth: true, account: false });
    open.time_secs += 60;
    assert_eq!(beat(&rig, &rig.host, &open).await.json::<HeartbeatReply>().status, Level::Red);
    let found = vec![Finding::HalfGate("sudo".into()), Finding::ClockOff(60)];
    assert_eq!(web1(&rig).await, (Level::Red, found));
    let web2 = HostName::parse("web2").unwrap();
    let other = Host::with(web2.clone(), rig.hosts.add(&web2, None, None, None).await.unwrap());
    assert_eq!(beat(&rig, &other, &good(&rig)).await.status, StatusCode::OK);
    assert_eq!(web1(&rig).await.0, Level::Red, "another host's word changes nothing here");

    rig.hosts.remove(&rig.host.name, None).await.unwrap();
    assert_eq!(beat(&rig, &rig.host, &good(&rig)).await.status, StatusCode::UNAUTHORIZED);
    rig.clock.advance(Duration::from_secs(1));
    rig.hosts.add(&rig.host.name, None, None, None).await.unwrap();
    assert_eq!(web1(&rig).await.1, [Finding::Never]);
}

#[tokio::test]
async fn too_much_and_another_version_are_refused_and_leave_the_last_word() {
    let rig = Rig::new().await;
    beat(&rig, &rig.host, &good(&rig)).await;
    let long = beat(&rig, &rig.host, &Heartbeat { os_info: "x".repeat(300), plugin: false, ..good(&rig) }).await;
    assert_eq!((long.status, long.problem()), (StatusCode::BAD_REQUEST, "too-long".to_owned()));
    let version = beat(&rig, &rig.host, &Heartbeat { v: 2, plugin: false, ..good(&rig) }).await;
    assert_eq!(version.status, StatusCode::BAD_REQUEST, "{}", version.text());
    assert_eq!(web1(&rig).await.0, Level::Green);
}

#[tokio::test]
async fn the_page_of_hosts_is_there_for_administrators_alone() {
    let rig = Rig::new().await;
    let odd = Heartbeat { os_info: "<b>\u{202e}Debian</b>".into(), plugin: false, ..good(&rig) };
    beat(&rig, &rig.host, &odd).await;
    let (ann, _) = rig.session("ann").await;
    assert_eq!(rig.get("/hosts", Some(&ann)).await.status, StatusCode::NOT_FOUND);
    assert!(rig.get("/hosts", None).await.status.is_redirection());
    let groups = vec![GroupName::parse("admins").unwrap()];
    rig.people.committed(Person { name: name("adam"), groups, groups_until: Timestamp::MAX, disabled: false });
    let (admin, _) = rig.session("adam").await;
    let page = rig.get("/hosts", Some(&admin)).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let text = page.text();
    assert!(
        text.contains("badge amber") && text.contains("web1") && text.contains("without the approval plugin"),
        "{text}"
    );
    assert!(!text.contains("<b>") && !text.contains('\u{202e}'), "what a host says is shown as text: {text}");
}
