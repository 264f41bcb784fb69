//! What every [`Notifier`] promises. Stamp the clauses with [`notifier_suite!`](crate::notifier_suite).

use std::future::poll_fn;
use std::task::Poll;

use crate::challenge::ChallengeRecord;
use crate::notify::{DeliveryRef, Notice, Notifier};
use crate::testkit::fakes::{self, START};

/// Stamps one test per clause: `notifier_suite!(board, async { (notifier, move || whatever_arrived()) });`
///
/// The first argument names the module; the second is an expression that is evaluated for each test and gives a future of
/// a notifier whose destination is empty and works, and of a closure that gives all text that has arrived there. The calling
/// crate needs `tokio` with `macros` and `rt`.
#[macro_export]
macro_rules! notifier_suite {
    ($module:ident, $factory:expr) => {
        $crate::notifier_suite!(@stamp $module, $factory;
            an_opened_question_arrives
            every_stage_arrives
            the_code_of_a_question_never_arrives
            the_same_notice_twice_is_no_error
            an_unknown_prior_is_no_error
            recipients_may_be_none_or_many
            no_text_breaks_it
            deliveries_run_at_the_same_time
            a_dropped_delivery_harms_nothing
        );
    };
    (@stamp $module:ident, $factory:expr; $($clause:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $clause() {
                    let (notifier, arrived) = $factory.await;
                    $crate::testkit::suite::notifier::$clause(&notifier, &arrived).await;
                }
            )*
        }
    };
}

/// Gives all text that has arrived at the destination.
pub type Arrived<'a> = &'a (dyn Fn() -> String + Sync);

fn notice(record: &ChallengeRecord, told: bool) -> Notice {
    let mut notice = Notice::about(record, told);
    notice.recipients = vec![fakes::user("ada"), fakes::user("grace")];
    notice.url = Some(format!("https://approve.example/questions/{}", notice.id));
    notice
}

async fn delivered(notifier: &dyn Notifier, notice: &Notice, prior: Option<&DeliveryRef>) -> Option<DeliveryRef> {
    notifier.deliver(notice, prior).await.expect("a working channel takes the notice")
}

/// Who asks can be read at the destination, and where to decide it.
///
/// # Panics
/// Where the promise is broken.
pub async fn an_opened_question_arrives(notifier: &dyn Notifier, arrived: Arrived<'_>) {
    let notice = notice(&fakes::pending(1), false);
    delivered(notifier, &notice, None).await;
    let arrived = arrived();
    assert!(arrived.contains("ann"), "who asks: {arrived}");
    assert!(arrived.contains(&notice.id.to_string()), "where to decide: {arrived}");
}

/// Opened, updated and settled are all taken, each with what the one before has left, and each changes what can be read.
///
/// # Panics
/// Where the promise is broken.
pub async fn every_stage_arrives(notifier: &dyn Notifier, arrived: Arrived<'_>) {
    let record = fakes::pending(1);
    let mut seen = vec![arrived()];
    let mut prior = None;
    for notice in [
        notice(&record, false),
        notice(&fakes::partly_approved(&record, "ada", START), true),
        notice(&fakes::approved(&record, "grace", START), true),
    ] {
        prior = delivered(notifier, &notice, prior.as_ref()).await.or(prior);
        let now = arrived();
        assert!(!seen.contains(&now), "{:?} shows", notice.stage);
        seen.push(now);
    }
}

/// Neither the code nor the number of a question is anywhere, whatever a notifier makes of a notice.
///
/// # Panics
/// Where the promise is broken.
pub async fn the_code_of_a_question_never_arrives(notifier: &dyn Notifier, arrived: Arrived<'_>) {
    let record = fakes::pending(1);
    delivered(notifier, &notice(&record, false), None).await;
    let code = &record.question().code;
    assert!(!arrived().contains(code.as_str()) && !arrived().contains(code.number()));
}

/// After a crash a notice may come again.
///
/// # Panics
/// Where the promise is broken.
pub async fn the_same_notice_twice_is_no_error(notifier: &dyn Notifier, _: Arrived<'_>) {
    let notice = notice(&fakes::pending(1), false);
    let left = delivered(notifier, &notice, None).await;
    delivered(notifier, &notice, None).await;
    delivered(notifier, &notice, left.as_ref()).await;
}

/// A message that is gone, or a reference of an older version, does not keep people from being told.
///
/// # Panics
/// Where the promise is broken.
pub async fn an_unknown_prior_is_no_error(notifier: &dyn Notifier, arrived: Arrived<'_>) {
    for (n, prior) in ["", "999999999999999999999", "-1", "../../etc/passwd", "\u{0}\u{202e}"].into_iter().enumerate() {
        let record = fakes::pending(n as u64 + 1);
        let notice = notice(&record, true);
        delivered(notifier, &notice, Some(&DeliveryRef(prior.to_owned()))).await;
        assert!(arrived().contains(&notice.id.to_string()));
    }
}

/// A place needs nobody, and a large organisation has many administrators.
///
/// # Panics
/// Where the promise is broken.
pub async fn recipients_may_be_none_or_many(notifier: &dyn Notifier, _: Arrived<'_>) {
    for (n, people) in [(1, 0), (2, 500)] {
        let mut notice = notice(&fakes::pending(n), false);
        notice.recipients = (0..people).map(|n| fakes::user(&format!("person{n}"))).collect();
        delivered(notifier, &notice, None).await;
    }
}

/// Line breaks, quotes, markup, hidden and very many characters are taken, and no line is forged.
///
/// # Panics
/// Where the promise is broken.
pub async fn no_text_breaks_it(notifier: &dyn Notifier, arrived: Arrived<'_>) {
    let odd = [
        "",
        "\n\nann asks on forged: ls",
        "\"'`${x}<b>&amp;*_~|@everyone",
        "\u{202e}\u{0}\u{7}\u{1b}[2J",
        &"ä".repeat(40_000),
    ];
    for (n, text) in odd.into_iter().enumerate() {
        let mut notice = notice(&fakes::pending(n as u64 + 1), false);
        text.clone_into(&mut notice.summary.action);
        notice.summary.reason = Some(text.to_owned());
        delivered(notifier, &notice, None).await;
        assert!(arrived().contains(&notice.id.to_string()), "number {n}");
    }
    assert!(!arrived().contains("\nann asks on forged"), "a line break came through");
    assert!(!arrived().contains('\u{1b}'), "an escape sequence came through");
}

/// Of questions told at once each arrives.
///
/// # Panics
/// Where the promise is broken.
pub async fn deliveries_run_at_the_same_time(notifier: &dyn Notifier, arrived: Arrived<'_>) {
    let notices: Vec<_> = (1..=8).map(|n| notice(&fakes::pending(n), false)).collect();
    let mut under_way: Vec<_> = notices.iter().map(|notice| Box::pin(notifier.deliver(notice, None))).collect();
    poll_fn(|context| {
        under_way.retain_mut(|delivery| match delivery.as_mut().poll(context) {
            Poll::Ready(outcome) => {
                outcome.expect("a working channel takes the notice");
                false
            }
            Poll::Pending => true,
        });
        if under_way.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let arrived = arrived();
    assert!(notices.iter().all(|notice| arrived.contains(&notice.id.to_string())));
}

/// A deadline drops a delivery wherever it stands; the next one works.
///
/// # Panics
/// Where the promise is broken.
pub async fn a_dropped_delivery_harms_nothing(notifier: &dyn Notifier, arrived: Arrived<'_>) {
    for n in 1..=3 {
        let notice = notice(&fakes::pending(n), false);
        let mut delivery = Box::pin(notifier.deliver(&notice, None));
        let _ = poll_fn(|context| Poll::Ready(delivery.as_mut().poll(context).is_ready())).await;
    }
    let notice = notice(&fakes::pending(4), false);
    delivered(notifier, &notice, None).await;
    assert!(arrived().contains(&notice.id.to_string()));
}
