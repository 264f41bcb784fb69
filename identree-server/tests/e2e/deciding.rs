//! A person decides: once, at phone size, by keyboard, without JavaScript.

use crate::browser::Look;
use crate::requester::Request;
use crate::world::World;

#[test]
fn one_person_one_phone_their_own_sudo() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["whoami"]).ask(&world);
    let page = world.page(Look::PHONE);
    page.goto(&sudo.url);
    page.log_in("ann");
    page.wait("#decide");
    let shown: String = page.text(".code > [aria-hidden]").split_whitespace().collect();
    assert_eq!(shown, sudo.code);
    assert_eq!(page.text("pre"), "sudo whoami");
    page.is_sound();
    page.decide("#approve");
    page.wait("[data-state=approved]");
    assert_eq!(page.text(".verdict p.ext"), "Approved by ann.");
    page.is_sound();
    assert_eq!(sudo.end(), (true, "identree: approved by ann".to_owned()));
}

#[test]
fn a_denial_carries_its_reason() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["reboot"]).ask(&world);
    let page = world.signed_in("ann", Look::DESKTOP);
    page.goto(&sudo.url);
    page.click("#decide summary");
    page.fill("#reason", "not on a Friday");
    page.decide("#deny");
    page.wait("[data-state=denied]");
    assert!(page.text("main").contains("not on a Friday"));
    assert_eq!(sudo.end(), (false, "identree: denied by ann: not on a Friday".to_owned()));
}

#[test]
fn the_approver_of_somebody_elses_question_types_the_number() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["systemctl", "restart", "nginx"]).ask(&world);
    let page = world.signed_in("ada", Look::PHONE);
    page.goto(&sudo.url);
    assert!(!page.url().contains(sudo.number()), "the address does not tell the number");
    assert!(!page.html().contains(sudo.number()), "the page does not tell the number");
    page.is_sound();
    let wrong = if sudo.number() == "000000" { "000001" } else { "000000" };
    page.fill("#number", wrong);
    page.decide("#approve");
    page.wait("#objection");
    assert!(page.text("#objection").contains("Nothing was decided"));
    assert_eq!(page.focused(), "number");
    assert!(sudo.is_waiting());
    page.fill("#number", &format!("{} {}", &sudo.number()[..3], &sudo.number()[3..]));
    page.decide("#approve");
    page.wait("[data-state=approved]");
    assert_eq!(sudo.end(), (true, "identree: approved by ada".to_owned()));
}

#[test]
fn two_people_approve_and_each_sees_how_many_are_missing() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "vault1", &["vault", "operator", "unseal"]).ask(&world);
    let own = world.signed_in("ann", Look::PHONE);
    own.goto(&sudo.url);
    assert!(!own.has("#approve") && own.has("#deny"), "an administrator must approve");
    let [first, second] = ["ada", "bob"].map(|name| {
        let page = world.signed_in(name, Look::PHONE);
        page.goto(&sudo.url);
        page
    });
    // Typed before the other one approves: what happens there must not take it away.
    second.fill("#number", sudo.number());
    first.fill("#number", sudo.number());
    first.decide("#approve");
    first.wait("#decide:not(:has(#approve))");
    assert!(first.text("main").contains("One more approval is needed"));
    first.is_sound();
    own.wait("#votes progress[value='1']");
    second.wait("#votes progress[value='1']");
    second.decide("#approve");
    for page in [&own, &first, &second] {
        page.wait("[data-state=approved]");
        assert_eq!(page.text(".verdict p.ext"), "Approved by ada, bob.");
    }
    assert!(sudo.end().0);
}

#[test]
fn by_keyboard_alone() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["id"]).ask(&world);
    let page = world.signed_in("ann", Look::DESKTOP);
    page.goto(&sudo.url);
    page.wait("#decide[data-armed]");
    let mut way = Vec::new();
    while way.last().map(String::as_str) != Some("approve") {
        assert!(way.len() < 12, "{way:?}");
        page.press("Tab");
        way.push(page.focused());
        if way.last().map(String::as_str) == Some("SUMMARY") {
            page.press("Enter");
            page.press("Tab");
            page.write("by keyboard");
        }
    }
    page.press("Enter");
    page.wait("[data-state=approved]");
    assert!(page.text("main").contains("by keyboard"));
    assert!(sudo.end().0);
}

#[test]
fn a_click_meant_for_something_else_does_not_count() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["shutdown", "now"]).ask(&world);
    let page = world.signed_in("ann", Look { frozen: true, ..Look::PHONE });
    page.goto(&sudo.url);
    page.click("#approve");
    page.press("Enter");
    assert!(page.has("#approve:not([disabled])"), "the page has only just appeared");
    assert!(sudo.is_waiting());
    page.thaw();
    page.click("#approve");
    page.wait("[data-state=approved]");
    assert!(sudo.end().0);
}

#[test]
fn without_javascript() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["uptime"]).ask(&world);
    let page = world.signed_in("ann", Look { script: false, ..Look::PHONE });
    assert!(page.text("main").contains("uptime"), "the list shows it");
    page.goto(&sudo.url);
    assert!(page.text(".timer").contains("left"));
    page.click("#approve");
    page.wait("[data-state=approved]");
    assert!(sudo.end().0);
    page.click("header .quiet");
    page.wait("main .button.primary");
    assert!(!page.has("header .who"));
}

#[test]
fn a_question_of_others_is_not_found() {
    let Some(world) = World::shared() else { return };
    let sudo = Request::new("ann", "web1", &["cat", "/etc/shadow"]).ask(&world);
    let page = world.signed_in("eve", Look::PHONE);
    assert!(!page.text("main").contains("/etc/shadow"));
    assert_eq!(page.goto(&sudo.url), 404);
    let real = page.text("main");
    assert_eq!(page.goto(&format!("{}/approve/AAAAAA-000000", world.url)), 404);
    assert_eq!(page.text("main"), real, "the same as for a question that does not exist");
    assert_eq!(page.status(&format!("{}/state", sudo.url)), 404);
    assert!(!sudo.interrupt().0);
}
