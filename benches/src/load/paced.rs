//! Load at a rate that is given, not as fast as it goes: what a server is like in use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Told;
use super::cycle::{Took, Worker};
use super::pause_until;
use super::wire::Failure;
use crate::Result;
use crate::figures::{Samples, now};

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Questions per second, by all together.
    pub rate: f64,
    /// How many ask in turn.
    pub workers: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Paced {
    /// From the moment a question was due until it was opened.
    pub opened: Samples,
    /// From that moment until its host was told.
    pub told: Samples,
}

/// Asks, approves and is told at this pace until the time. A worker who is late asks at once: the lateness counts.
///
/// # Errors
/// If any answer is not what it should be.
pub async fn paced(told: &Told, pace: Pace, until: Instant) -> Result<Paced> {
    let (told, begun) = (Arc::new(told.clone()), now());
    let mut tasks: JoinSet<std::result::Result<Vec<Took>, Failure>> = JoinSet::new();
    for number in 0..pace.workers {
        let told = Arc::clone(&told);
        let every = Duration::from_secs_f64(pace.workers as f64 / pace.rate);
        let first = begun + Duration::from_secs_f64(number as f64 / pace.rate);
        tasks.spawn(async move {
            let mut worker = Worker::connect(&told, number).await?;
            let (mut took, mut due) = (Vec::new(), first);
            while due < until {
                pause_until(due).await;
                let late = due.elapsed();
                let cycle = worker.cycle().await?;
                took.push(Took { opened: late + cycle.opened, told: late + cycle.told });
                due += every;
            }
            Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = tasks.join_next().await {
        all.extend(took?.map_err(|error| error.to_string())?);
    }
    let samples = |of: fn(&Took) -> Duration| Samples::new(all.iter().map(of).collect());
    Ok(Paced { opened: samples(|took| took.opened), told: samples(|took| took.told) })
}
