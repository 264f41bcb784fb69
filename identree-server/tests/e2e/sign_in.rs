//! Who is signed in, and who is not: against the certified provider, once with each thing wrong.

use serde_json::json;

use crate::browser::Look;
use crate::requester::Request;
use crate::world::{Setup, World};

#[test]
fn every_signature_that_is_promised() {
    for alg in ["ES256", "EdDSA"] {
        let Some(world) = World::new(Setup { alg, ..Setup::default() }) else { return };
        world.signed_in("ann", Look::PHONE);
    }
}

#[test]
fn a_token_with_one_thing_wrong_is_not_accepted() {
    // Its own world: the provider lies to everybody.
    let Some(world) = World::new(Setup::default()) else { return };
    for wrong in ["issuer", "audience", "nonce", "expired", "key", "none"] {
        world.provider(&json!({"tamper": wrong}));
        let page = world.page(Look::PHONE);
        page.goto(&format!("{}/sessions/login", world.url));
        page.log_in("ann");
        page.wait("main .notice");
        assert_eq!(page.text("h1"), "Signing in failed", "{wrong}");
        page.goto(&world.url);
        assert!(!page.has("header .who"), "{wrong}");
    }
    world.provider(&json!({"tamper": null}));
    world.signed_in("ann", Look::PHONE);
}

#[test]
fn who_signed_in_too_long_ago_signs_in_again_and_comes_back() {
    let Some(world) = World::new(Setup::default()) else { return };
    world.provider(&json!({"tamper": "old"}));
    let page = world.signed_in("ann", Look::PHONE);
    let sudo = Request::new("ann", "db1", &["psql"]).ask(&world);
    page.goto(&sudo.url);
    assert!(!page.has("#approve") && page.has("#deny"));
    page.is_sound();
    world.provider(&json!({"tamper": null}));
    page.click("#decide a.button");
    page.log_in("ann"); // the provider knows the browser and asks all the same
    page.wait("#approve");
    assert_eq!(page.url(), sudo.url);
    page.decide("#approve");
    page.wait("[data-state=approved]");
    assert!(sudo.end().0);
}

#[test]
fn a_provider_that_was_down_at_the_start() {
    let Some(world) = World::new(Setup { provider_later: true, ..Setup::default() }) else { return };
    world.signed_in("ann", Look::PHONE);
}

#[test]
fn a_provider_that_rotates_its_keys() {
    let Some(world) = World::new(Setup::default()) else { return };
    world.signed_in("ann", Look::PHONE);
    world.provider(&json!({"rotate": true}));
    world.signed_in("ada", Look::PHONE);
}

#[test]
fn the_answer_belongs_to_the_browser_that_asked_and_works_once() {
    let Some(world) = World::shared() else { return };
    let page = world.page(Look::PHONE);
    page.goto(&format!("{}/sessions/login", world.url));
    let callback = page.answer("ann", &format!("{}/callback?", world.url));
    let other = world.page(Look::PHONE);
    assert_eq!(other.goto(&callback), 400, "without any cookie of a sign-in");
    other.goto(&format!("{}/sessions/login", world.url));
    assert_eq!(other.goto(&callback), 400, "in a browser that began another sign-in");
    assert_eq!(page.goto(&callback), 200, "where it was begun");
    assert!(page.has("header .who"));
    let cookies = page.cookies();
    let session = cookies.as_array().unwrap().iter().find(|cookie| cookie["name"] == "identree_session").unwrap();
    assert_eq!((&session["httpOnly"], &session["sameSite"]), (&json!(true), &json!("Lax")));
    assert_eq!(page.goto(&callback), 400, "a second time");
}
