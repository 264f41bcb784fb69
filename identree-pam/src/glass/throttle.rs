//! How often the password may be tried: a bucket per person and one for the host, as pure arithmetic over calendar seconds.

use std::collections::BTreeMap;
use std::time::Duration;

/// A person may try three times at once, then once a minute.
const PERSON: Limit = Limit { burst: 3, refill_secs: 60 };
/// All together thirty times at once, then every ten seconds: one person cannot use it up, a guessing crowd can.
const HOST: Limit = Limit { burst: 30, refill_secs: 10 };
/// More people than can have tried within the time that a bucket takes to fill.
const MAX_PEOPLE: usize = 256;

#[derive(Debug, Clone, Copy)]
struct Limit {
    burst: u32,
    refill_secs: i64,
}

/// Attempts that are not forgotten yet, and since when they are being forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bucket {
    spent: u32,
    since: i64,
}

/// All buckets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Throttle {
    host: Bucket,
    people: BTreeMap<u32, Bucket>,
}

impl Bucket {
    /// Forgets what time has made good. A clock that went back makes nothing good.
    fn at(self, now: i64, limit: Limit) -> Self {
        let whole = now.saturating_sub(self.since).max(0) / limit.refill_secs;
        let spent = self.spent.saturating_sub(u32::try_from(whole).unwrap_or(u32::MAX));
        let since = if spent == 0 || now < self.since { now } else { self.since + whole * limit.refill_secs };
        Self { spent, since }
    }

    fn wait(self, now: i64, limit: Limit) -> Option<Duration> {
        (self.spent >= limit.burst).then(|| {
            let secs = limit.refill_secs - now.saturating_sub(self.since).clamp(0, limit.refill_secs - 1);
            Duration::from_secs(secs.unsigned_abs())
        })
    }
}

impl Throttle {
    /// Counts one attempt of that uid, before it is made.
    ///
    /// # Errors
    /// How long to wait where there were too many.
    pub(super) fn charge(&mut self, uid: u32, now: i64) -> Result<(), Duration> {
        self.people.retain(|_, bucket| {
            *bucket = bucket.at(now, PERSON);
            bucket.spent > 0
        });
        self.host = self.host.at(now, HOST);
        let person = self.people.get(&uid).copied().unwrap_or(Bucket { spent: 0, since: now });
        if let Some(wait) = person.wait(now, PERSON).max(self.host.wait(now, HOST)) {
            return Err(wait);
        }
        if self.people.len() >= MAX_PEOPLE {
            return Err(Duration::from_secs(PERSON.refill_secs.unsigned_abs()));
        }
        self.host.spent += 1;
        self.people.insert(uid, Bucket { spent: person.spent + 1, ..person });
        Ok(())
    }

    /// Takes back what a right password was charged.
    pub(super) fn refund(&mut self, uid: u32) {
        self.people.remove(&uid);
        self.host.spent = self.host.spent.saturating_sub(1);
    }

    /// One line per bucket: `host SPENT SINCE`, then `UID SPENT SINCE`.
    pub(super) fn encode(&self) -> String {
        let mut text = format!("host {} {}\n", self.host.spent, self.host.since);
        for (uid, bucket) in &self.people {
            text.push_str(&format!("{uid} {} {}\n", bucket.spent, bucket.since));
        }
        text
    }

    /// From its lines; `None` if anything is not as written.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut throttle = Self::default();
        for (at, line) in text.strip_suffix('\n')?.split('\n').enumerate() {
            let words: Vec<_> = line.split(' ').collect();
            let [who, spent, since] = words[..] else { return None };
            let bucket = Bucket { spent: spent.parse().ok()?, since: since.parse().ok()? };
            if bucket.spent > HOST.burst || bucket.since < 0 {
                return None;
            }
            match (at, who) {
                (0, "host") => throttle.host = bucket,
                (1.., uid) if throttle.people.insert(uid.parse().ok()?, bucket).is_none() => {}
                _ => return None,
            }
        }
        (throttle.people.len() <= MAX_PEOPLE).then_some(throttle)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_at_once_then_one_a_minute_for_each() {
        let mut throttle = Throttle::default();
        for _ in 0..3 {
            assert_eq!(throttle.charge(7, 1000), Ok(()));
        }
        assert_eq!(throttle.charge(7, 1000), Err(Duration::from_secs(60)));
        assert_eq!(throttle.charge(7, 1059), Err(Duration::from_secs(1)));
        assert_eq!(throttle.charge(8, 1000), Ok(()), "another person");
        assert_eq!(throttle.charge(7, 1060), Ok(()));
        assert!(throttle.charge(7, 1060).is_err());
        throttle.refund(7);
        assert_eq!(throttle.charge(7, 1060), Ok(()), "a right password clears");
    }

    #[test]
    fn a_crowd_meets_the_limit_of_the_host() {
        let mut throttle = Throttle::default();
        let passed = (0..100).filter(|uid| throttle.charge(*uid, 1000).is_ok()).count();
        assert_eq!(passed, 30);
        assert_eq!(throttle.charge(100, 1000), Err(Duration::from_secs(10)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut throttle = Throttle::default();
        for _ in 0..3 {
            throttle.charge(7, 100_000).unwrap();
        }
        assert!(throttle.charge(7, 10).is_err());
        assert!(throttle.charge(7, 69).is_err());
        assert_eq!(throttle.charge(7, 70), Ok(()), "and from then on time counts again");
    }

    #[test]
    fn damage_is_seen() {
        for bad in ["", "host 1 1", "host 1 1\nx 1 1\n", "host 1 1\n7 1\n", "host 99 1\n", "7 1 1\n", "host 1 -1\n"] {
            assert_eq!(Throttle::decode(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_order_of_times_allows_more_than_the_burst_and_what_time_gives(
            steps in prop::collection::vec((0u32..4, 0i64..300), 1..200),
        ) {
            let (mut throttle, mut now) = (Throttle::default(), 1_000_000);
            let (mut passed, start) = (0u32, now);
            for (uid, step) in steps {
                now += step;
                if uid == 0 && throttle.charge(0, now).is_ok() { passed += 1 } else { let _ = throttle.charge(uid, now); }
                let text = throttle.encode();
                prop_assert_eq!(Throttle::decode(&text), Some(throttle.clone()));
            }
            let time = u32::try_from((now - start) / PERSON.refill_secs).unwrap();
            prop_assert!(passed <= PERSON.burst + time);
        }
    }
}
