//! Starting, asking, ending.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use identree_core::Engine;
use identree_core::actor::{Actor, Strength};
use identree_core::id::{Nonce, UserName};
use identree_core::rng::{OsEntropy, bytes};
use identree_core::time::{Clock as _, SystemClock};
use identree_pam::terminal::Stdout;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::question::{self, Ended};
use super::start::{Running, start};
use super::{DevArgs, DevError, show};
use crate::cli::log;
use crate::config;

/// A question that was taken back has ended by then.
const TAKEN_BACK_WITHIN: Duration = Duration::from_secs(5);

/// `identree dev`. Only what went wrong is logged, unless `IDENTREE_LOG_LEVEL` says otherwise: the terminal is for the story.
pub(crate) async fn run(args: &DevArgs) -> super::super::Done {
    let found = config::read();
    log::start(&found, "error")?;
    say(&show::not_looked_at(found.from_environment()));
    Ok(dev(args).await?)
}

/// Starts everything, asks unless told not to, serves until Ctrl-C, and clears up.
async fn dev(args: &DevArgs) -> Result<(), DevError> {
    // First of all, so that nothing is left behind however early it is pressed.
    let mut stop = Stop::listen()?;
    let running = start(args).await?;
    say(&show::banner(&running));
    if args.no_question {
        say(show::CTRL_C);
        stop.pressed().await;
    } else {
        questions(&running, &mut stop).await?;
    }
    running.stop().await
}

/// Asks, and again when Enter is pressed, until Ctrl-C.
async fn questions(running: &Running, stop: &mut Stop) -> Result<(), DevError> {
    let mut enter = std::io::stdin().is_terminal().then(enter);
    loop {
        say(show::AS_A_USER_SEES_IT);
        let (config, facts) = (running.host_file.config.clone(), question::facts(running.person().clone())?);
        let nonce = Nonce::from_bytes(bytes(&OsEntropy));
        let mut asking = spawn_blocking(move || question::ask(&config, &facts, nonce, &mut Stdout));
        tokio::select! {
            ended = &mut asking => say(&show::after(&ended.map_err(DevError::server)?)),
            () = stop.pressed() => {
                take_back(&running.engine, running.person(), &asking).await;
                return asking.await.map(drop).map_err(DevError::server);
            }
        }
        let Some(enter) = &mut enter else {
            say(show::CTRL_C);
            stop.pressed().await;
            return Ok(());
        };
        say(show::AGAIN);
        tokio::select! {
            () = stop.pressed() => return Ok(()),
            Some(()) = enter.recv() => {}
        }
    }
}

/// Takes the person's questions back until the one that waits for the answer has it; it may just be opening one.
async fn take_back(engine: &Engine, person: &UserName, asking: &JoinHandle<Ended>) {
    let clock = SystemClock;
    let person = Actor::vouched("dev", person.clone(), clock.now(), Strength::Stated);
    let until = clock.now() + TAKEN_BACK_WITHIN;
    while !asking.is_finished() && clock.now() < until {
        for record in engine.visible(&person) {
            if let Err(error) = engine.cancel(record.question().id, &person).await {
                tracing::warn!(%error, "the question could not be taken back; it expires by itself");
            }
        }
        clock.sleep_until(clock.now() + Duration::from_millis(20)).await;
    }
}

/// Ctrl-C, or whatever else asks a program to end.
struct Stop([Signal; 3]);

impl Stop {
    fn listen() -> Result<Self, DevError> {
        let on = |kind| signal(kind).map_err(DevError::server);
        Ok(Self([on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?]))
    }

    async fn pressed(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Tells of each Enter. The thread waits for the terminal and ends with the process.
fn enter() -> mpsc::Receiver<()> {
    let (pressed, enter) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || pressed.blocking_send(()).is_err() {
                break;
            }
        }
    });
    enter
}

/// To the person at the terminal; if nobody reads, nobody can be told.
fn say(text: &str) {
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
