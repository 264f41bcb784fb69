//! When a rule is open: hours and days in UTC.

use std::fmt;

use crate::text::visible;
use crate::time::Timestamp;

/// Hours of the day, days of the week, or both. Start inclusive, end exclusive, to the minute, in UTC.
///
/// Hours that wrap midnight (`22:00-06:00`) belong to the day on which they start: with `Fri`, Saturday 05:59 is open and
/// Friday 05:59 is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    hours: Option<Hours>,
    days: Option<Days>,
}

/// Why a text is neither hours nor days.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// Not two times of the day.
    #[error("\"{}\" is not HH:MM-HH:MM, as in \"09:00-17:30\" (UTC)", visible(.0))]
    Hours(String),
    /// The end is the start.
    #[error("\"{}\" is never open; leave allowed_hours out for the whole day", visible(.0))]
    NeverOpen(String),
    /// Not a list of days.
    #[error("\"{}\" is not a list of days, as in \"Mon-Fri,Sun\"", visible(.0))]
    Days(String),
}

/// Minutes since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    start: u16,
    end: u16,
}

/// One flag per day, Monday first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days([bool; 7]);

const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Window {
    /// Parses `HH:MM-HH:MM` and `Mon-Fri,Sun`; what is left out is not limited.
    ///
    /// # Errors
    /// [`WindowError`] says which of the two is wrong; nothing is guessed.
    pub fn parse(hours: Option<&str>, days: Option<&str>) -> Result<Self, WindowError> {
        Ok(Self { hours: hours.map(Hours::parse).transpose()?, days: days.map(Days::parse).transpose()? })
    }

    /// Whether it is open at that time.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let minutes = at.as_secs().div_euclid(60);
        let minute = u16::try_from(minutes.rem_euclid(24 * 60)).unwrap_or(0);
        let day = minutes.div_euclid(24 * 60);
        let started = match self.hours {
            None => day,
            Some(Hours { start, end }) if start < end => {
                if !(start..end).contains(&minute) {
                    return false;
                }
                day
            }
            Some(Hours { start, .. }) if minute >= start => day,
            Some(Hours { end, .. }) if minute < end => day.saturating_sub(1),
            Some(_) => return false,
        };
        self.days.is_none_or(|days| days.contains(started))
    }
}

impl fmt::Display for Window {
    /// `Mon-Fri 09:00-17:00 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Days(days)) = self.days {
            let open = NAMES.iter().zip(days).filter(|(_, open)| *open).map(|(name, _)| *name);
            f.write_str(&open.collect::<Vec<_>>().join(", "))?;
            f.write_str(" ")?;
        }
        if let Some(Hours { start, end }) = self.hours {
            write!(f, "{:02}:{:02}-{:02}:{:02} ", start / 60, start % 60, end / 60, end % 60)?;
        }
        f.write_str("UTC")
    }
}

impl Hours {
    fn parse(text: &str) -> Result<Self, WindowError> {
        let minute = |text: &str| -> Option<u16> {
            let &[h1, h0, b':', m1, m0] = text.as_bytes() else { return None };
            let two = |high: u8, low: u8| {
                (high.is_ascii_digit() && low.is_ascii_digit())
                    .then(|| u16::from(high - b'0') * 10 + u16::from(low - b'0'))
            };
            let (hour, minute) = (two(h1, h0)?, two(m1, m0)?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let both = text.split_once('-').and_then(|(start, end)| Some((minute(start)?, minute(end)?)));
        match both {
            None => Err(WindowError::Hours(text.into())),
            Some((start, end)) if start == end => Err(WindowError::NeverOpen(text.into())),
            Some((start, end)) => Ok(Self { start, end }),
        }
    }
}

impl Days {
    fn parse(text: &str) -> Result<Self, WindowError> {
        let day = |text: &str| NAMES.iter().position(|name| name.eq_ignore_ascii_case(text.trim()));
        let wrong = || WindowError::Days(text.into());
        let mut days = [false; 7];
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day(first).ok_or_else(wrong)?, day(last).ok_or_else(wrong)?);
            // `Fri-Mon` wraps.
            for step in 0..=(last + 7 - first) % 7 {
                days[(first + step) % 7] = true;
            }
        }
        Ok(Self(days))
    }

    /// `day` counts from 1970-01-01, a Thursday.
    fn contains(self, day: i64) -> bool {
        usize::try_from(day.saturating_add(3).rem_euclid(7)).is_ok_and(|weekday| self.0[weekday])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A time in the week of Monday 2026-11-23.
    fn at(day: i64, hour: i64, minute: i64) -> Timestamp {
        Timestamp::from_secs((20_780 + day) * 86_400 + hour * 3600 + minute * 60)
    }

    #[test]
    fn the_week_starts_where_the_tests_say() {
        assert_eq!(at(0, 0, 0).to_string(), "2026-11-23T00:00:00.000Z");
    }

    #[test]
    fn start_counts_and_end_does_not() {
        let window = Window::parse(Some("09:00-17:00"), Some("Mon-Fri")).unwrap();
        assert!(!window.is_open(at(0, 8, 59)));
        assert!(window.is_open(at(0, 9, 0)));
        assert!(window.is_open(at(4, 16, 59)));
        assert!(!window.is_open(at(4, 17, 0)));
        assert!(!window.is_open(at(5, 12, 0)));
        assert_eq!(window.to_string(), "Mon, Tue, Wed, Thu, Fri 09:00-17:00 UTC");
    }

    #[test]
    fn a_night_belongs_to_the_day_it_starts_on() {
        let window = Window::parse(Some("22:00-06:00"), Some("Fri")).unwrap();
        assert!(!window.is_open(at(4, 5, 59)), "the end of Thursday's night");
        assert!(window.is_open(at(4, 22, 0)));
        assert!(window.is_open(at(5, 5, 59)));
        assert!(!window.is_open(at(5, 6, 0)));
        assert!(!window.is_open(at(5, 23, 0)));
    }

    #[test]
    fn days_are_lists_and_wrapping_ranges() {
        let window = Window::parse(None, Some("fri-MON, wed")).unwrap();
        let open: Vec<bool> = (0..7).map(|day| window.is_open(at(day, 12, 0))).collect();
        assert_eq!(open, [true, false, true, false, true, true, true]);
    }

    #[test]
    fn nothing_is_guessed() {
        for hours in
            ["", "9:00-17:00", "09:00", "09:00-24:00", "09:60-10:00", "09:00-17:00x", "09:00 - 17:00", "٠٩:٠٠-١٧:٠٠"]
        {
            assert_eq!(Window::parse(Some(hours), None), Err(WindowError::Hours(hours.into())));
        }
        assert_eq!(Window::parse(Some("09:00-09:00"), None), Err(WindowError::NeverOpen("09:00-09:00".into())));
        for days in ["", "Monday", "Mon,", "Mon-", "Mon-Fri-Sun", "Xyz"] {
            assert_eq!(Window::parse(None, Some(days)), Err(WindowError::Days(days.into())));
        }
    }

    proptest! {
        #[test]
        fn no_text_and_no_time_panics(hours in ".{0,12}", days in "[a-zA-Z,-]{0,12}", at in any::<i64>()) {
            let _ = Window::parse(Some(&hours), Some(&days));
            for (hours, days) in [("22:00-06:00", "Mon"), ("06:00-22:00", "Sun-Tue")] {
                Window::parse(Some(hours), Some(days)).unwrap().is_open(Timestamp::from_millis(at));
            }
        }

        #[test]
        fn a_window_and_its_complement_share_no_minute(start in 0u16..1440, end in 0u16..1440, minute in 0i64..10_080) {
            prop_assume!(start != end);
            let text = |a: u16, b: u16| format!("{:02}:{:02}-{:02}:{:02}", a / 60, a % 60, b / 60, b % 60);
            let open = |text: &str| Window::parse(Some(text), None).unwrap().is_open(at(0, 0, minute));
            prop_assert_ne!(open(&text(start, end)), open(&text(end, start)));
        }
    }
}
