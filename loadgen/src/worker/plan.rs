//! What the workers of a run are to do, and what they share while they do it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::conversation::Manner;
use crate::tally::Tally;
use crate::worker::schedule::Schedule;
use crate::workload::access::Pattern;
use crate::workload::arrivals::Gaps;
use crate::workload::distribution::Ttls;
use crate::workload::keyspace::Keyspace;
use crate::workload::mix::Mix;
use crate::workload::plan::Trace;

/// What is to be done, in this order; what is not wanted is 0 or `None`.
pub(crate) struct Plan {
    pub(crate) manner: Manner,
    pub(crate) is_udp: bool,
    /// Items to store before all else.
    pub(crate) load: u64,
    /// Requests in flight per connection while loading and checking.
    pub(crate) load_depth: usize,
    /// Of those, so many are read back.
    pub(crate) check: u64,
    pub(crate) run: Option<RunPlan>,
    pub(crate) seed: u64,
    pub(crate) ttls: Ttls,
    /// A reply that takes longer is given up.
    pub(crate) timeout: Duration,
}

/// The run proper.
pub(crate) struct RunPlan {
    pub(crate) pace: Pace,
    /// Requests in flight per connection, at most.
    pub(crate) depth: usize,
    pub(crate) mix: Mix,
    pub(crate) pattern: Pattern,
    pub(crate) multiget: usize,
    /// Store what a get does not find.
    pub(crate) fills: bool,
    /// All workers together end after so many.
    pub(crate) requests: u64,
    /// Instead of mix and pattern.
    pub(crate) trace: Option<Arc<Trace>>,
    pub(crate) warmup: Duration,
    /// Of each step, if there are several.
    pub(crate) duration: Duration,
}

impl RunPlan {
    pub(crate) fn schedule(&self, start: u64) -> Schedule {
        let steps = match &self.pace {
            Pace::Open { rates, .. } => rates.len() as u64,
            _ => 1,
        };
        Schedule { begin: start + nanos(self.warmup), step_len: nanos(self.duration), steps }
    }
}

/// What decides when a request is sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pace {
    /// The replies: each makes room for the next request, after a pause.
    Closed { think: Duration },
    /// The clock: so many per second, all workers together; several rates are the steps of a ramp.
    Open { gaps: Gaps, rates: Vec<f64> },
    /// The times of the trace, run through so many times as fast.
    Recorded { speed: f64 },
}

/// What the workers of a run and the thread that follows them share.
pub(crate) struct Shared {
    pub(crate) keyspace: Keyspace,
    pub(crate) plan: Plan,
    /// Where the run's clock has its zero.
    pub(crate) epoch: Instant,
    /// How many phases before the run all workers have done.
    pub(crate) phases_done: AtomicU32,
    /// When the run began, on its clock.
    pub(crate) start: OnceLock<u64>,
    /// Items loaded or checked, for the progress bar.
    pub(crate) done_items: AtomicU64,
    /// Ctrl-C, or a ramp that has found its knee.
    pub(crate) stop: AtomicBool,
}

impl Shared {
    pub(crate) fn now(&self) -> u64 {
        nanos(self.epoch.elapsed())
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a worker tells.
pub(crate) enum Message {
    /// A phase before the run is over: all it counted in it.
    PhaseOver {
        tally: Box<Tally>,
    },
    /// An interval of the run is over.
    Interval(Interval),
    /// It has ended; what came in after the last interval, and how much was due in it and has not been sent.
    Done {
        tally: Box<Tally>,
        unsent: u64,
    },
    Failed(std::io::Error),
}

/// What a worker counted in one interval.
pub(crate) struct Interval {
    pub(crate) worker: usize,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// Its thread's CPU time.
    pub(crate) cpu_ns: u64,
    pub(crate) tally: Box<Tally>,
    /// Requests that were due and will not be sent.
    pub(crate) unsent: u64,
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
