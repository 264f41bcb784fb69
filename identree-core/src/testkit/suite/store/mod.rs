//! What every [`Store`] promises, clause by clause. Stamp them with [`store_suite!`](crate::store_suite).
//!
//! Every function takes an empty store and panics where the promise is broken.

mod challenges;
mod documents;
mod leases;
mod log;
mod log_kept;
mod together;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

pub use self::challenges::*;
pub use self::documents::*;
pub use self::leases::*;
pub use self::log::*;
pub use self::log_kept::*;
pub use self::together::*;
use crate::audit::{AuditEvent, EventKind};
use crate::challenge::ChallengeRecord;
use crate::id::ChallengeId;
use crate::store::{Batch, ChallengeFilter, Change, Collection, DocumentKey, Page, Put, Store, StoreError};
use crate::testkit::fakes::{self, START};
use crate::time::Timestamp;

/// Stamps one test per clause: `store_suite!(memory, async { (MemoryStore::new(), ()) });`
///
/// The first argument names the module; the second is an expression that is evaluated for each test and gives a future of
/// an empty store and of something that lives as long as the test (a temporary directory, `()` if nothing is needed), or of `None` where
/// what it takes is not there: then nothing is tested. The
/// calling crate needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! store_suite {
    ($module:ident, $factory:expr) => {
        $crate::store_suite!(@stamp $module, $factory;
            what_is_opened_reads_back_unchanged
            opening_twice_is_a_conflict_and_leaves_no_trace
            advance_needs_the_revision_just_below
            of_concurrent_advances_exactly_one_wins
            a_batch_is_all_or_nothing_across_sorts_of_changes
            a_batch_is_judged_by_what_stood_before_it
            a_batch_names_each_thing_once
            the_journal_keeps_the_order_of_commit
            concurrent_commits_are_journaled_once_each
            an_event_needs_no_change
            a_batch_that_is_offered_again_is_a_conflict_and_its_event_stands_once
            a_code_finds_the_newest_question
            questions_are_found_by_id_however_many
            listings_are_newest_first_and_filtered
            paging_neither_skips_nor_repeats_while_rows_are_added
            forgetting_removes_a_question_and_frees_its_id
            documents_are_guarded_by_their_revision
            of_concurrent_document_writes_exactly_one_wins
            documents_cease_to_exist_at_their_end
            documents_are_listed_by_collection
            sweeping_removes_only_what_is_over
            sweeping_respects_its_limit
            a_conflict_harms_only_itself
            a_healthy_store_says_so
            an_empty_log_stands_at_its_beginning
            sealing_moves_events_out_of_the_journal
            places_of_the_journal_are_not_used_again
            a_seal_that_does_not_fit_writes_nothing
            a_stale_fence_is_refused_whatever_it_writes
            of_concurrent_seals_exactly_one_wins
            sealing_while_others_commit_loses_nothing
            bundles_and_tiles_are_replaced_as_they_grow
            checkpoints_are_listed_by_size
            far_back_one_checkpoint_a_bundle_is_kept
            erasing_is_guarded_and_counted
            pruning_takes_whole_bundles_and_the_log_goes_on
            a_log_that_goes_step_by_step_proves_itself_after_each
            pruning_forgets_readers_that_are_gone
            readers_keep_their_own_place
            a_lease_has_one_holder_who_keeps_its_number
            a_lease_that_ended_goes_to_whoever_asks
            keeping_a_lease_sets_its_end_anew
            a_lease_given_back_is_free_and_a_lost_one_stays_lost
            of_many_who_ask_exactly_one_gets_a_lease
            leases_are_apart_by_name
            the_store_has_a_clock
        );
    };
    (@stamp $module:ident, $factory:expr; $($clause:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $clause() {
                    let made: Option<(_, _)> = $factory.await.into();
                    let Some((store, _guard)) = made else { return };
                    $crate::testkit::suite::store::$clause(::std::sync::Arc::new(store)).await;
                }
            )*
        }
    };
}

type AnyStore = Arc<dyn Store>;

const HOSTS: Collection = Collection("hosts");
const SESSIONS: Collection = Collection("sessions");
const AT: Timestamp = START;

fn opened(n: u64, record: &Arc<ChallengeRecord>) -> Batch {
    let event = fakes::event_about(n, EventKind::ChallengeCreated, record);
    Batch::of(Change::Open(Arc::clone(record)), event)
}

fn advanced(n: u64, record: &Arc<ChallengeRecord>) -> Batch {
    let event = fakes::event_about(n, EventKind::ChallengeApproved, record);
    Batch::of(Change::Advance(Arc::clone(record)), event)
}

fn put(key: &DocumentKey, expect: Option<u64>, bytes: &[u8], expires_at: Option<Timestamp>) -> Change {
    Change::Document { key: key.clone(), expect, put: Some(Put { bytes: bytes.to_vec(), expires_at }) }
}

async fn commit(store: &AnyStore, batch: Batch) {
    store.commit(batch).await.expect("the commit succeeds");
}

async fn conflict(store: &AnyStore, batch: Batch) {
    let answer = store.commit(batch).await;
    assert!(matches!(answer, Err(StoreError::Conflict)), "a conflict was due, not {answer:?}");
}

async fn read(store: &AnyStore, id: ChallengeId) -> Option<Arc<ChallengeRecord>> {
    store.challenge(id).await.expect("the question can be read")
}

async fn journal(store: &AnyStore) -> Vec<AuditEvent> {
    let (mut events, mut page) = (Vec::new(), Page::first(7));
    loop {
        let paged = store.unsealed(page).await.expect("the journal can be read");
        assert!(paged.items.len() <= 7, "a page is not longer than asked");
        events.extend(paged.items.into_iter().map(|unsealed| unsealed.event));
        match paged.next {
            Some(next) => page.after = Some(next),
            None => return events,
        }
    }
}

async fn list(store: &AnyStore, filter: &ChallengeFilter, limit: u32) -> Vec<ChallengeId> {
    let (mut ids, mut page) = (Vec::new(), Page::first(limit));
    loop {
        let paged = store.challenges(filter, page).await.expect("questions can be listed");
        assert!(paged.items.len() <= limit as usize, "a page is not longer than asked");
        ids.extend(paged.items.iter().map(|record| record.question().id));
        match paged.next {
            Some(next) => page.after = Some(next),
            None => return ids,
        }
    }
}

async fn read_document(store: &AnyStore, key: &DocumentKey, now: Timestamp) -> Option<(u64, Vec<u8>)> {
    let found = store.document(key, now).await.expect("the document can be read");
    found.map(|document| (document.revision, document.bytes))
}

async fn list_documents(store: &AnyStore, of: Collection, now: Timestamp) -> Vec<String> {
    let (mut keys, mut page) = (Vec::new(), Page::first(2));
    loop {
        let paged = store.documents(of, now, page).await.expect("documents can be listed");
        assert!(paged.items.len() <= 2, "a page is not longer than asked");
        keys.extend(paged.items.into_iter().map(|document| document.key.into_string()));
        match paged.next {
            Some(next) => page.after = Some(next),
            None => return keys,
        }
    }
}
