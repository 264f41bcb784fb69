#![doc = include_str!("../README.md")]
//!
//! # The tour
//!
//! In the order in which a program needs it. Everything from here on needs the feature `engine` (default).
//!
//! ## Words
//!
//! | Word | Meaning |
//! |---|---|
//! | question | what a person is asked: a [`Challenge`](challenge::Challenge) that the engine stores as a [`ChallengeRecord`](challenge::ChallengeRecord) |
//! | policy | says what it takes: nothing, so many approvals of such people, or never ([`policy`]) |
//! | actor | a person whom the program has checked ([`actor::Actor`]) |
//! | vote | what an actor says to a question ([`Vote`]) |
//! | verdict | granted, refused with a reason, or not yet ([`Verdict`]) |
//! | grant | the signed yes; only the engine and [`grant::verify`](grant::verify()) make one |
//! | notice | what people are told about a question ([`notify`]) |
//! | event | one line of the journal, committed with the change that it describes ([`audit`]) |
//!
//! ## 1. A question of your own
//!
//! [`FreeChallenge`](challenge::FreeChallenge) is a kind, a requester, a target and a text. A type of your own says what approvers read and what the
//! grant binds: see [`challenge::Challenge`].
//!
//! ## 2. What it takes
//!
//! [`RuleSet`](policy::RuleSet) reads rules from TOML or JSON. The first rule that matches decides; nothing matches means no. Your own policy is one
//! `impl` of [`policy::Policy`].
//!
//! ```
//! use identree_core::policy::RuleSet;
//!
//! let rules = RuleSet::parse(r#"
//! [[policies]]
//! name = "staging"
//! match_kinds = ["deploy"]
//! match_hosts = ["*/staging"]          # the target's name, host or not
//! action = "allow"
//!
//! [[policies]]
//! name = "production"
//! match_kinds = ["deploy"]
//! min_approvals = 2
//! require_admin = true
//! requester_may_approve = false
//! number_match = false                 # the requester has no terminal that shows a number
//! "#)?;
//! assert_eq!(rules.rules().len(), 2);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! ## 3. People
//!
//! The [`directory::Directory`] knows groups; members of [`admin_groups`](engine::EngineBuilder::admin_groups) see everybody's questions and may decide them where the
//! rule lets them. Without a directory nobody is an administrator, and everybody may decide their own questions where the rule lets them.
//!
//! Who a caller *is*, your program checks. It then writes [`Actor::vouched`](actor::Actor::vouched), the only constructor: searching for that word lists all ways in.
//!
//! ## 4. Where it is kept
//!
//! [`MemoryStore`](store::MemoryStore) loses everything with the process. `SqliteStore` (feature `sqlite`) is one file; questions that wait survive a restart.
//! A [`store::Store`] of your own passes [`store_suite!`] first.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("questions.db");
//! use identree_core::Engine;
//! use identree_core::store::SqliteStore;
//!
//! let engine = Engine::builder().store(SqliteStore::open(&path).await?).build().await?;
//! engine.store().probe().await?;
//! # engine.shutdown().await;
//! # Ok(()) }) }
//! # #[cfg(not(feature = "sqlite"))] fn main() {}
//! ```
//!
//! ## 5. Asking, waiting, deciding
//!
//! [`Engine::open`] stores the question or settles it at once; [`Engine::wait`] rests until it is settled; [`Engine::vote`] decides; [`Engine::cancel`] takes it
//! back. The program above has all of it. What comes back:
//!
//! | You get | It means | Do |
//! |---|---|---|
//! | [`Verdict::Granted`] | yes, good for 30 s, bound to this question | go ahead, once |
//! | [`Verdict::Refused`] | no, with the reason; from `vote` also *this vote did not count* ([`Refusal::Vote`]) | stop, tell the reason |
//! | [`Verdict::Pending`] | not yet: your time is over, or the engine drains | wait again, or tell the caller where to look |
//! | `Err`, [`retry()`](EngineError::retry) `Later` | we could not tell | treat it as no; the same [nonce](engine::Ask::nonce) later is the same question |
//! | `Err`, `Never` | the same call fails again | treat it as no |
//!
//! ## 6. Holding requests
//!
//! The gate (feature `tower`, module `gate`) puts the last step around any tower service: a request waits until its question is granted, and nothing else lets
//! it through. `examples/deploy-gate` is a whole web service.
//!
//! ## 7. Telling people
//!
//! A [`notify::Notifier`] is a channel: a chat room, a pager, a file. Give it to [`notifier`](engine::EngineBuilder::notifier); who is told what is up to
//! [`notify::Routes`]. `examples/custom-notifier` is a whole program.
//!
//! ## 8. Proving it elsewhere
//!
//! A grant may travel: to another process, another machine, an archive. [`grant::verify`](grant::verify()) checks it against a key and the question, without an engine, a
//! network or a clock; whoever acts on it compares [`Answer::expires`](grant::Answer::expires) with its own clock.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! # use identree_core::challenge::{Challenge as _, FreeChallenge};
//! # use identree_core::id::{ChallengeKind, Nonce, Target, TargetName, UserName};
//! # use identree_core::{Ask, Engine, policy::RuleSet};
//! use identree_core::grant::{Expected, KeyRing, Proven, verify};
//!
//! # let engine = Engine::builder().policy(RuleSet::parse("[[policies]]\nname = \"all\"\nmatch_kinds = [\"deploy\"]\naction = \"allow\"")?).build().await?;
//! # let target = Target::Named(TargetName::parse("shop/production")?);
//! # let question = FreeChallenge::new(ChallengeKind::parse("deploy")?, UserName::parse("ann")?, target, "deploy shop 4.2");
//! # let nonce = Nonce::from_bytes([7; 32]);
//! // Here: the program that asks chose the nonce, and knows what it asked.
//! let opened = engine.open(Ask { nonce: Some(nonce), ..Ask::new(&question) }).await?;
//! let signed = engine.answer(&opened.record).await?.expect("a rule settled it");
//! let key = engine.decision_key();
//!
//! // There: `signed` and `key` are all it takes.
//! let proven = verify(&signed, &KeyRing::new(vec![key])?, &Expected {
//!     nonce: &nonce,
//!     target: question.target(),
//!     kind: &question.kind(),
//!     requester: question.requester(),
//!     run_as_user: None,
//!     run_as_group: None,
//!     payload_sha256: &question.payload().sha256(),
//! })?;
//! assert!(matches!(proven, Proven::Grant(_)));
//! # Ok(()) }) }
//! ```
//!
//! ## 9. Testing
//!
//! Time and randomness are arguments: a [`ManualClock`](time::ManualClock) moves when a test says so, and no test sleeps. The feature `testkit` has sample data, a
//! recording notifier and the conformance suites.
//!
//! ```
//! # #[cfg(feature = "testkit")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! # use identree_core::challenge::FreeChallenge;
//! # use identree_core::id::{ChallengeKind, Target, TargetName, UserName};
//! use identree_core::notify::Stage;
//! use identree_core::policy::RuleSet;
//! use identree_core::rng::SeededEntropy;
//! use identree_core::testkit::recorder::Recorder;
//! use identree_core::time::ManualClock;
//! use identree_core::{Ask, Engine, Refusal, Verdict};
//!
//! let (clock, room) = (ManualClock::default(), Recorder::new("room"));
//! let engine = Engine::builder()
//!     .policy(RuleSet::permissive())
//!     .clock(clock.clone())
//!     .entropy(SeededEntropy::new(1)) // the same ids and codes in each run
//!     .notifier(room.clone())
//!     .build()
//!     .await?;
//! # let target = Target::Named(TargetName::parse("shop/production")?);
//! # let question = FreeChallenge::new(ChallengeKind::parse("deploy")?, UserName::parse("ann")?, target, "deploy shop 4.2");
//! let opened = engine.open(Ask::new(&question)).await?;
//! room.received(1).await; // waits for the event, not for a time
//!
//! let expires_at = opened.record.question().expires_at;
//! clock.set(expires_at);
//! let verdict = engine.wait(opened.record.question().id, expires_at + std::time::Duration::from_secs(1)).await?;
//! assert_eq!(verdict, Verdict::Refused(Refusal::Expired));
//! assert!(matches!(room.received(2).await[1].notice.stage, Stage::Settled { .. }));
//! # engine.shutdown().await;
//! # Ok(()) }) }
//! # #[cfg(not(feature = "testkit"))] fn main() {}
//! ```
//!
//! ## 10. Stopping
//!
//! [`Engine::drain`] answers everybody who waits with *pending*, so that an HTTP server can finish; [`Engine::shutdown`] then ends the background work and waits
//! for commits and deliveries under way. What waits stays in the store and goes on after the next start. An engine that is merely dropped loses no commit that
//! was acknowledged.

pub mod canon;
pub mod challenge;
pub mod credential;
pub mod diff;
pub mod enrol;
pub mod grant;
pub mod id;
pub mod secret;
pub mod text;
pub mod time;
pub mod wire;

#[cfg(feature = "engine")]
pub mod actor;
#[cfg(feature = "engine")]
pub mod audit;
#[cfg(feature = "engine")]
pub mod directory;
#[cfg(feature = "engine")]
pub mod egress;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod escrow;
#[cfg(feature = "engine")]
mod foreign;
#[cfg(feature = "tower")]
pub mod gate;
#[cfg(feature = "engine")]
pub mod notify;
#[cfg(feature = "engine")]
pub mod policy;
#[cfg(feature = "engine")]
pub mod retry;
#[cfg(feature = "engine")]
pub mod rng;
#[cfg(feature = "engine")]
pub mod store;
#[cfg(feature = "engine")]
pub mod syntax;
#[cfg(feature = "testkit")]
pub mod testkit;

/// What exported macros lean on; not for anybody else.
#[cfg(feature = "engine")]
#[doc(hidden)]
pub mod __private {
    pub use async_trait::async_trait;
}

#[cfg(feature = "engine")]
pub use self::engine::{Ask, Engine, EngineError, Opened, Refusal, Verdict, Vote, VoteRefusal};
