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
fn the_list_changes_in_place() {
    let Some(world) = World::shared() else { return };
    let page = world.signed_in("eve", Look::DESKTOP);
    page.mark();
    assert_eq!(page.text("h1"), "Nothing is waiting");
    let first = Request::new("eve", "web1", &["in-place", "one"]).ask(&world);
    page.wait("[data-mark] a.card code:text('in-place one')");
    assert!(page.title().starts_with("(1) Waiting"), "{}", page.title());
    page.focus("a.card");
    let second = Request::new("eve", "web1", &["in-place", "two"]).ask(&world);
    page.wait("[data-mark] li + li a.card code:text('in-place two')");
    assert!(page.title().starts_with("(2) Waiting"), "{}", page.title());
    assert!(page.has("a.card:focus code:text('in-place one')"), "the focus stays");
    assert!(!first.interrupt().0);
    page.wait("[data-mark] .rows li code:text('in-place one')");
    assert!(page.has("a.card:focus code:text('in-place two')"), "the focus goes to what is next");
    page.is_sound();
    assert!(!second.interrupt().0);
    page.wait("[data-mark] .empty");
    assert!(page.title().starts_with("Waiting"), "{}", page.title());
    assert_eq!(page.text("h1"), "Nothing is waiting");
    page.is_sound();
}

#[test]
fn an_answer_given_elsewhere_takes_the_question_off_the_list() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["answered-elsewhere"]).ask(&world);
    let (list, question) = (world.signed_in("ada", Look::DESKTOP), world.signed_in("ann", Look::PHONE));
    list.mark();
    list.wait("[data-mark] a.card code:text('answered-elsewhere')");
    question.goto(&sudo.url);
    question.decide("#approve");
    assert!(sudo.end().0);
    list.wait("[data-mark] .rows li:has(.approved) code:text('answered-elsewhere')");
    assert!(!list.has("a.card code:text('answered-elsewhere')"));
}

#[test]
fn a_list_that_was_cut_off_goes_on_where_it_was() {
    let Some(world) = World::shared() else { return };
    let page = world.signed_in("ann", Look::DESKTOP);
    page.mark();
    let before = Request::new("ann", "web1", &["before-the-cut"]).ask(&world);
    page.wait("[data-mark] a.card code:text('before-the-cut')");
    page.offline(true);
    assert!(!before.interrupt().0);
    let meanwhile = Request::new("ann", "web1", &["meanwhile"]).ask(&world);
    page.offline(false);
    page.wait("[data-mark] a.card code:text('meanwhile')");
    page.wait("[data-mark] .rows li code:text('before-the-cut')");
    assert!(!meanwhile.interrupt().0);
}

#[test]
fn a_proxy_that_keeps_streams_back_only_makes_the_list_slower() {
    let Some(world) = World::shared() else { return };
    let page = world.signed_in("ann", Look::DESKTOP);
    page.hold("/api/events");
    page.goto(&world.url);
    let sudo = Request::new("ann", "web1", &["behind-a-proxy"]).ask(&world);
    page.wait("a.card code:text('behind-a-proxy')");
    assert!(!sudo.interrupt().0);
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
