//! The stream of events: who is told what, from where on, and when it ends.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use identree_core::actor::{Actor, Strength};
use identree_core::directory::Person;
use identree_core::engine::Vote;
use identree_core::id::GroupName;
use identree_core::time::{Clock as _, Timestamp};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{ORIGIN, Rig, name};

/// An open stream.
struct Stream {
    body: Body,
    rest: String,
}

#[derive(Debug, Clone)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Stream {
    async fn open(rig: &Rig, cookie: &str, after: Option<&str>) -> Self {
        let mut request = Request::get("/api/events").header(header::COOKIE, cookie).header("sec-fetch-mode", "cors");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = rig.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        let mut stream = Self { body: answer.into_body(), rest: String::new() };
        assert_eq!(stream.next().await.unwrap().name, "hello");
        stream
    }

    /// The next event; none when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let field = |field: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
                    line.unwrap_or_default().to_owned()
                };
                let event = Event {
                    id: field("id"),
                    name: field("event"),
                    data: serde_json::from_str(&field("data")).unwrap(),
                };
                self.rest = rest.to_owned();
                return Some(event);
            }
            let frame = self.body.frame().await?.unwrap();
            self.rest.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    }

    async fn names(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.next().await.unwrap().name);
        }
        names
    }
}

impl Rig {
    fn directory(&self, user: &str, groups: &[&str], disabled: bool) {
        let groups = groups.iter().map(|group| GroupName::parse(group).unwrap()).collect();
        let groups_until = self.clock.now() + Duration::from_secs(900);
        self.people.committed(Person { name: name(user), groups, groups_until, disabled });
    }

    async fn admin(&self) -> String {
        self.directory("ada", &["admins"], false);
        self.session("ada").await.0
    }

    async fn sign_out(&self, (cookie, csrf): &(String, String)) {
        let request = Request::post("/signout")
            .header(header::COOKIE, cookie)
            .header(header::ORIGIN, ORIGIN)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(format!("csrf_token={csrf}")));
        assert_eq!(self.send(request.unwrap()).await.status, StatusCode::SEE_OTHER);
    }

    async fn deny(&self, nonce_id: identree_core::id::ChallengeId) {
        let ann = Actor::vouched("test", name("ann"), Timestamp::default(), Strength::SignedIn);
        self.engine.vote(nonce_id, &ann, Vote::Deny { reason: None }).await.unwrap();
    }
}

#[tokio::test]
async fn each_step_of_a_question_is_told_with_what_the_list_needs() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, &rig.session("ann").await.0, None).await;
    let opened = rig.ask(1).await;
    let created = stream.next().await.unwrap();
    assert_eq!((created.name.as_str(), &created.data["state"]), ("challenge_created", &"pending".into()));
    assert_eq!(created.data["id"], opened.challenge_id.to_string());
    assert_eq!(created.data["revision"], 1);
    let item = created.data["item"].as_str().unwrap();
    let code = opened.user_code.unwrap();
    assert!(item.contains("whoami") && item.contains(code.as_str()), "{item}");
    rig.deny(opened.challenge_id).await;
    let resolved = stream.next().await.unwrap();
    assert_eq!((resolved.name.as_str(), &resolved.data["state"]), ("challenge_resolved", &"denied".into()));
    assert_eq!(resolved.data["revision"], 2);
    assert!(resolved.data["item"].as_str().unwrap().contains("Denied"));
}

#[tokio::test]
async fn a_question_whose_time_is_over_is_told() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, &rig.session("ann").await.0, None).await;
    rig.ask(1).await;
    assert_eq!(stream.next().await.unwrap().name, "challenge_created");
    rig.clock.advance(Duration::from_secs(120));
    loop {
        let event = stream.next().await.unwrap();
        if event.name != "alive" {
            assert_eq!((event.name.as_str(), &event.data["state"]), ("challenge_resolved", &"expired".into()));
            return;
        }
    }
}

#[tokio::test]
async fn who_comes_back_is_told_what_was_missed_or_to_begin_anew() {
    let rig = Rig::new().await;
    let cookie = rig.session("ann").await.0;
    let mut stream = Stream::open(&rig, &cookie, None).await;
    let first = rig.ask(1).await.challenge_id;
    let seen = stream.next().await.unwrap();
    drop(stream);
    rig.deny(first).await;
    let second = rig.ask(2).await.challenge_id;

    let mut again = Stream::open(&rig, &cookie, Some(&seen.id)).await;
    let missed = [again.next().await.unwrap(), again.next().await.unwrap()];
    assert_eq!(missed.each_ref().map(|event| event.name.as_str()), ["challenge_resolved", "challenge_created"]);
    assert_eq!(missed[1].data["id"], second.to_string());

    // Of this very process the number counts, and one that it never gave is a stranger's.
    let later = seen.id.replacen("-1-", "-19-", 1);
    assert_ne!(later, seen.id);
    for stranger in ["0123456789ab-1", "", "x", &later] {
        let mut anew = Stream::open(&rig, &cookie, Some(stranger)).await;
        assert_eq!(anew.next().await.unwrap().name, "reset", "{stranger}");
    }
    let mut up_to_date = Stream::open(&rig, &cookie, Some(&missed[1].id)).await;
    rig.ask(3).await;
    assert_eq!(up_to_date.next().await.unwrap().name, "challenge_created");
}

#[tokio::test]
async fn who_was_away_too_long_or_reads_too_slowly_begins_anew() {
    let rig = Rig::new().await;
    let cookie = rig.session("ann").await.0;
    let mut slow = Stream::open(&rig, &cookie, None).await;
    let id = rig.ask(1).await.challenge_id;
    let seen = slow.next().await.unwrap();
    rig.deny(id).await;
    // Signing in and out is an event too, though not one that is told.
    for _ in 0..600 {
        let session = rig.session("bob").await;
        rig.sign_out(&session).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(slow.next().await.unwrap().name, "reset");
    let mut late = Stream::open(&rig, &cookie, Some(&seen.id)).await;
    assert_eq!(late.next().await.unwrap().name, "reset");
    rig.ask(2).await;
    assert_eq!(slow.next().await.unwrap().name, "challenge_created");
    assert_eq!(late.next().await.unwrap().name, "challenge_created");
}

#[tokio::test]
async fn only_who_may_see_a_question_is_told_and_never_the_digits_that_must_be_typed() {
    let rig = Rig::new().await;
    let mut admin = Stream::open(&rig, &rig.admin().await, None).await;
    let mut other = Stream::open(&rig, &rig.session("bob").await.0, None).await;
    let opened = rig.ask(1).await;
    rig.deny(opened.challenge_id).await;
    let code = opened.user_code.unwrap();
    for expected in ["challenge_created", "challenge_resolved"] {
        let event = admin.next().await.unwrap();
        assert_eq!(event.name, expected);
        let text = event.data.to_string();
        assert!(text.contains("ann") && !text.contains(code.number()), "{text}");
        assert!(!text.contains(code.as_str()), "{text}");
    }
    // A stop ends streams; nothing came before.
    rig.engine.drain();
    assert!(other.next().await.is_none());
    assert!(admin.next().await.is_none());
}

#[tokio::test]
async fn signing_out_ends_the_streams_of_that_session_at_once() {
    let rig = Rig::new().await;
    let (one, other) = (rig.session("ann").await, rig.session("ann").await);
    let mut ended = Stream::open(&rig, &one.0, None).await;
    let mut stays = Stream::open(&rig, &other.0, None).await;
    rig.sign_out(&one).await;
    assert_eq!(ended.next().await.unwrap().name, "signed_out");
    assert!(ended.next().await.is_none());
    rig.ask(1).await;
    assert_eq!(stays.next().await.unwrap().name, "challenge_created");
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_keeps_none_alive() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, &rig.session("ann").await.0, None).await;
    let mut alive = 0;
    loop {
        rig.clock.advance(Duration::from_secs(15));
        match stream.next().await.unwrap().name.as_str() {
            "alive" => alive += 1,
            name => break assert_eq!(name, "signed_out"),
        }
    }
    assert_eq!(alive, 30 * 60 / 15 - 1);
}

#[tokio::test]
async fn who_is_no_administrator_any_more_begins_anew_and_sees_less() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, &rig.admin().await, None).await;
    rig.ask(1).await;
    assert_eq!(stream.next().await.unwrap().name, "challenge_created");
    rig.directory("ada", &[], false);
    assert_eq!(stream.next().await.unwrap().name, "reset");
    rig.ask(2).await;
    rig.directory("ada", &["admins"], false);
    assert_eq!(stream.next().await.unwrap().name, "reset");
    rig.ask(3).await;
    assert_eq!(stream.next().await.unwrap().name, "challenge_created");
    // Groups that came with a sign-in age out.
    for _ in 0..15 * 4 - 1 {
        rig.clock.advance(Duration::from_secs(15));
        let name = stream.next().await.unwrap().name;
        // What a person may see is judged when it is told: of the second question they hear now.
        assert!(["alive", "challenge_created", "challenge_resolved"].contains(&name.as_str()), "{name}");
    }
    rig.clock.advance(Duration::from_secs(15));
    loop {
        match stream.next().await.unwrap().name.as_str() {
            "alive" | "challenge_resolved" => {}
            name => break assert_eq!(name, "reset"),
        }
    }
}

#[tokio::test]
async fn who_is_shut_out_is_told_nothing_more() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, &rig.admin().await, None).await;
    rig.directory("ada", &["admins"], true);
    rig.ask(1).await;
    assert_eq!(stream.next().await.unwrap().name, "signed_out");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_person_has_at_most_twenty_streams_and_a_visitor_none() {
    let rig = Rig::new().await;
    let cookie = rig.session("ann").await.0;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(Stream::open(&rig, &cookie, None).await);
    }
    let more = rig.get("/api/events", Some(&cookie)).await;
    assert_eq!((more.status, more.header(header::RETRY_AFTER)), (StatusCode::TOO_MANY_REQUESTS, "30"));
    Stream::open(&rig, &rig.session("bob").await.0, None).await;
    open.pop();
    Stream::open(&rig, &cookie, None).await;
    assert_eq!(rig.get("/api/events", None).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_list_says_where_its_events_are_and_whose_list_it_was() {
    let rig = Rig::new().await;
    let (ann, bob) = (rig.session("ann").await.0, rig.session("bob").await.0);
    let page = rig.get("/", Some(&ann)).await.text();
    let address = page.split_once("data-events=\"").unwrap().1.split_once('"').unwrap().0.replace("&#38;", "&");
    rig.ask(1).await;
    for (cookie, names) in [(&ann, ["hello", "challenge_created"]), (&bob, ["hello", "reset"])] {
        let request = Request::get(&address).header(header::COOKIE, cookie).body(Body::empty()).unwrap();
        let body = rig.router.clone().oneshot(request).await.unwrap().into_body();
        assert_eq!(Stream { body, rest: String::new() }.names(2).await, names);
    }
}
