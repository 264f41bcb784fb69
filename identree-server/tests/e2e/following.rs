//! Open pages learn what happens elsewhere, by themselves.

use crate::browser::Look;
use crate::requester::Request;
use crate::world::{Setup, World};

#[test]
fn the_page_says_that_the_question_was_taken_back() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["make", "install"]).ask(&world);
    let page = world.signed_in("ann", Look::PHONE);
    page.goto(&sudo.url);
    page.wait("#decide[data-armed]");
    assert!(!sudo.interrupt().0);
    page.wait("[data-state=cancelled]");
    assert_eq!(page.text("h1"), "Cancelled");
    assert!(page.title().starts_with("Cancelled"));
    assert_eq!(page.focused(), "H1", "a screen reader goes on from here");
    assert!(!page.has("#approve"));
    page.look("result-cancelled");
}

#[test]
fn the_list_follows() {
    let Some(world) = World::shared() else { return };
    let page = world.signed_in("bob", Look::DESKTOP);
    let first = Request::new("bob", "web1", &["first-of-the-list"]).ask(&world);
    page.wait("a.card code:text('first-of-the-list')");
    let own = page.text("a.card:has(code:text('first-of-the-list'))");
    assert!(own.contains("yours"), "{own}");
    assert!(!first.interrupt().0);
    page.wait("main:not(:has(a.card code:text('first-of-the-list')))");
    page.wait(".rows .cancelled");
}

#[test]
fn the_page_says_that_the_time_is_over() {
    let Some(world) = World::new(Setup { question_life: "30s", ..Setup::default() }) else { return };
    let page = world.signed_in("ann", Look::PHONE);
    let sudo = Request::new("ann", "web1", &["sleep", "31"]).ask(&world);
    page.goto(&sudo.url);
    page.wait("#decide");
    let (granted, last) = sudo.end();
    assert!(!granted && last.contains("nobody answered in time"), "{last}");
    page.wait("[data-state=expired]");
    page.look("result-expired");
}
