//! Erasing what the log knows of a person. The leaves, their hashes and every proof stay as they are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AuditEvent, Entry, PERSONAL_DETAILS};
use crate::id::UserName;
use crate::store::{Bundle, Log, StoreError, TILE};

/// Bundles that are read at once.
const AT_ONCE: u32 = 32;
/// Tries until a bundle stands still: the last one changes as the log grows.
const TRIES: u32 = 100;

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// Entries whose personal part is gone.
    pub entries: u64,
    /// Bundles that were written.
    pub bundles: u64,
}

/// Whether an event tells of this person: who asks, who acts, or a personal detail that is this name.
pub fn tells_of(event: &AuditEvent, person: &UserName) -> bool {
    let is_person = |detail: (&String, &String)| {
        PERSONAL_DETAILS.binary_search(&detail.0.as_str()).is_ok() && detail.1 == person.as_str()
    };
    [&event.actor, &event.subject].into_iter().flatten().any(|name| name == person)
        || event.details.iter().any(is_person)
}

/// How many entries of the log tell of this person.
///
/// # Errors
/// [`StoreError`] if the log cannot be read.
pub async fn count<L: Log + ?Sized>(log: &L, person: &UserName) -> Result<Erased, StoreError> {
    each_bundle(log, person, Write::No).await
}

/// Erases the personal part of each entry of the log that tells of this person, as a whole: also who else took part, and what was asked. Events
/// that are not in the log yet are not touched; seal them first.
///
/// # Errors
/// [`StoreError`] if it did not work to the end; what was erased stays so, and the same call goes on.
pub async fn erase<L: Log + ?Sized>(log: &L, person: &UserName) -> Result<Erased, StoreError> {
    each_bundle(log, person, Write::Yes).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Yes,
    No,
}

async fn each_bundle<L: Log + ?Sized>(log: &L, person: &UserName, write: Write) -> Result<Erased, StoreError> {
    let (mut sum, mut next) = (Erased::default(), 0);
    loop {
        let read = log.bundles(next, AT_ONCE).await?;
        let Some(last) = read.last().map(|bundle| bundle.number) else { return Ok(sum) };
        for bundle in read {
            let entries = one_bundle(log, bundle, person, write).await?;
            sum = Erased { entries: sum.entries + entries, bundles: sum.bundles + u64::from(entries > 0) };
        }
        next = last + 1;
    }
}

async fn one_bundle<L: Log + ?Sized>(
    log: &L,
    mut bundle: Bundle,
    person: &UserName,
    write: Write,
) -> Result<u64, StoreError> {
    for _ in 0..TRIES {
        let (without, entries) = without(&bundle, person)?;
        if entries == 0 || write == Write::No {
            return Ok(entries);
        }
        match log.erase(bundle.number, &bundle.personal, without).await {
            Ok(()) => return Ok(entries),
            // The log has grown meanwhile, or somebody else erased: from what stands there now.
            Err(StoreError::Conflict) => (),
            Err(error) => return Err(error),
        }
        let again = log.bundles(bundle.number, 1).await?.into_iter().next();
        match again.filter(|again| again.number == bundle.number) {
            Some(again) => bundle = again,
            None => return Ok(0),
        }
    }
    Err(StoreError::Conflict)
}

/// What is looked at in a personal part.
#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow, default)]
    actor: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    details: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

/// The personal parts of a bundle without those that tell of this person, and how many those are.
fn without(bundle: &Bundle, person: &UserName) -> Result<(Vec<u8>, u64), StoreError> {
    let corrupt = |seq: u64, error: &dyn std::fmt::Display| StoreError::Corrupt {
        table: "log_bundles",
        source: format!("entry {seq}: {error}").into(),
    };
    let first = bundle.number * TILE;
    let parts = Entry::personal_parts(bundle.number, &bundle.personal).map_err(|error| corrupt(first, &error))?;
    let (mut kept, mut gone) = (Vec::with_capacity(bundle.personal.len()), 0);
    for (seq, part) in (first..).zip(parts) {
        let tells = if part.is_empty() {
            false
        } else {
            let names: Names<'_> = serde_json::from_slice(part).map_err(|error| corrupt(seq, &error))?;
            let all = [names.actor, names.subject].into_iter().flatten().chain(names.details.into_values());
            all.into_iter().any(|name| name == person.as_str())
        };
        gone += u64::from(tells);
        let part = if tells { &[] } else { part };
        kept.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        kept.extend_from_slice(part);
    }
    Ok((kept, gone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::fakes;
    use crate::testkit::journal::recorded;
    use crate::testkit::log::LogOf;

    #[tokio::test]
    async fn a_person_is_gone_and_every_hash_stays() {
        let mut log = LogOf::events(600).await;
        let before = log.store.head().await.unwrap();
        let eve = fakes::user("eve");
        let told = recorded(&*log.store).await.iter().filter(|event| tells_of(event, &eve)).count() as u64;
        let counted = count(&*log.store, &eve).await.unwrap();
        assert_eq!((counted.entries, counted.bundles, told), (200, 3, 200));
        assert_eq!(log.store.head().await.unwrap(), before, "counting changes nothing");
        assert_eq!(erase(&*log.store, &eve).await.unwrap(), counted);
        assert!(!recorded(&*log.store).await.iter().any(|event| tells_of(event, &eve)));
        assert_eq!(count(&*log.store, &eve).await.unwrap(), Erased::default());
        let after = log.store.head().await.unwrap();
        assert_eq!((after.root, after.size, after.erasures), (before.root, before.size, 3));
        // The log goes on over what was erased, and it can be proven.
        log.add(100).await;
        let dir = tempfile::tempdir().unwrap();
        let to = super::super::copy::Export { key: &log.key(), dir: dir.path(), with_personal: true, from: 0 };
        super::super::copy::export(&*log.store, &to).await.unwrap();
        let report = super::super::verify::verify(dir.path(), &log.key(), &Default::default()).unwrap();
        assert_eq!((report.worst(), report.erased), (None, 200));
    }
}
