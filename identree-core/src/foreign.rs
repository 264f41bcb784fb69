//! Calls into code that others plug in: a panic of theirs is their failure, and ends no task of ours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The result of the call; where it panics, this error.
pub(crate) async fn caught<T, E>(call: impl Future<Output = Result<T, E>>, panicked: impl Fn() -> E) -> Result<T, E> {
    let mut call = pin!(call);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))).unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    })
    .await
}
