//! How asking ended.

use identree_core::grant::{Answer, Grant};
use identree_core::wire::v1::Problem;

/// Why the helper stopped waiting by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The terminal it was asked from is gone.
    HangUp,
    /// The process that asked is gone.
    CallerGone,
    /// Somebody sent a signal to end.
    Signal,
}

/// Why the server put the question to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAsked {
    /// Too many questions of this user wait already.
    UserFull,
    /// Too many questions of this host wait already.
    HostFull,
    /// Too many questions wait already.
    ServerFull,
    /// The user was denied too often on this host; may ask again after that many seconds.
    CoolDown(Option<u32>),
    /// This host wants a reason for each question, and none was given.
    NoReason,
    /// The host sends too many requests; may go on after that many seconds.
    TooFast(Option<u32>),
}

impl NotAsked {
    /// From a problem's type, where it is one of these.
    pub fn of(kind: &str, retry_after: Option<u32>) -> Option<Self> {
        Some(match kind.strip_prefix(Problem::PREFIX)? {
            Problem::TOO_MANY_FOR_USER => Self::UserFull,
            Problem::TOO_MANY_FOR_HOST => Self::HostFull,
            Problem::TOO_MANY => Self::ServerFull,
            Problem::COOL_DOWN => Self::CoolDown(retry_after),
            Problem::RATE_LIMITED => Self::TooFast(retry_after),
            _ => return None,
        })
    }
}

/// How asking ended. Only [`Verdict::Granted`] and [`Verdict::BrokenGlass`] open anything, and
/// [`Verdict::LeftToPlugin`] the way to the next gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A proven yes.
    Granted(Box<Grant>),
    /// PAM asks nobody, because sudo's approval plugin will, which knows what runs; proven to be loaded.
    LeftToPlugin,
    /// A proven no: denied by a person, refused by a rule, taken back, or expired; the answer says which and by whom.
    Refused(Box<Answer>),
    /// Nobody answered within this host's own time limit.
    TimedOut,
    /// This process was refused before, with that exit code; it is not asked again.
    RefusedBefore(u8),
    /// The server could not be reached or could not answer; the text says how.
    Unreachable(String),
    /// The server could not be reached, and the person knew this host's break-glass password; its use is written down.
    BrokenGlass,
    /// The server put the question to nobody, because too much is asked.
    NotAsked(NotAsked),
    /// The run is not one that anybody may approve, or not any more what was approved; the text says why.
    Unsafe(String),
    /// Something is set up wrongly; the text says what and how to fix it.
    Misconfigured(String),
    /// The one who asked went away.
    Cancelled(Interruption),
}

impl Verdict {
    /// 0 for a proven yes or the break-glass password; 1 refused, 2 expired, 3 unreachable, 4 misconfigured, 5 cancelled, 6 not asked.
    pub fn exit_code(&self) -> u8 {
        use identree_core::grant::Decision;
        match self {
            Self::Granted(_) | Self::BrokenGlass | Self::LeftToPlugin => 0,
            Self::Refused(answer) => match answer.decision {
                Decision::Expired => 2,
                Decision::Cancelled => 5,
                Decision::Granted | Decision::Denied | Decision::Refused => 1,
            },
            Self::TimedOut => 2,
            Self::Unsafe(_) => 1,
            Self::RefusedBefore(code) => (*code).max(1),
            Self::Unreachable(_) => 3,
            Self::Misconfigured(_) => 4,
            Self::Cancelled(_) => 5,
            Self::NotAsked(_) => 6,
        }
    }
}
