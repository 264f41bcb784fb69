//! Somebody approves in a browser, and the terminal says so.

#![expect(clippy::unwrap_used, reason = "in a test, what fails says where")]

use crate::browser::Browser;
use crate::demo::Demo;

#[tokio::test(flavor = "multi_thread")]
async fn the_asked_person_approves_and_the_terminal_says_by_whom_and_how_fast() {
    let mut demo = Demo::start(&["--user", "ann"]);
    let asked = demo.until("Approve  ");
    assert!(asked.contains("ann on dev asks to run as root:"), "{asked}");
    assert!(asked.contains("sudo whoami"));
    let url = word_after(&asked, "Approve  ");
    let code = word_after(&asked, "Code     ");
    identree_evidence::secret(identree_evidence::Kind::UserCode, &code);
    assert!(url.ends_with(&format!("/approve/{code}")), "{url} {code}");

    let mut browser = Browser::default();
    let page = browser.sign_in(&url, "ann").await;
    assert!(page.contains("sudo whoami"), "{page}");
    browser.approve(&url, &page, None).await;

    let told = demo.until("at the client.");
    assert!(told.contains("approved by ann"), "{told}");
    assert!(told.contains("Approved by ann; "), "{told}");
    let waited: u64 = word_after(&told, "Approved by ann; ").parse().unwrap();
    assert!(waited < 1_000, "{waited} ms from the tap to the answer");
    demo.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_needs_the_number_and_others_see_nothing() {
    let mut demo = Demo::start(&["--user", "ann"]);
    let asked = demo.until("Approve  ");
    let url = word_after(&asked, "Approve  ");
    let code = word_after(&asked, "Code     ");
    identree_evidence::secret(identree_evidence::Kind::UserCode, &code);

    let mut grace = Browser::default();
    let page = grace.sign_in(&url, "grace").await;
    let number = code.split('-').nth(1).unwrap();
    assert!(!page.contains(number), "the page must not tell the number");
    let wrong = if number == "000000" { "000001" } else { "000000" };
    grace.approve(&url, &page, Some(wrong)).await;
    let page = grace.read(&url).await;
    assert!(page.contains("csrf_token"), "still open: {page}");
    grace.approve(&url, &page, Some(number)).await;
    assert!(demo.until("at the client.").contains("approved by grace"));
    demo.end();
}

/// The word that follows a text.
fn word_after(all: &str, text: &str) -> String {
    all.split_once(text).unwrap().1.split_whitespace().next().unwrap().to_owned()
}
