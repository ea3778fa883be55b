//! The course of a run over all workers: connect, load, check, warm up, measure, drain.

mod connect;
mod gather;
mod live;
mod process;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use core_affinity::CoreId;
use nix::sys::signal::{SigSet, Signal};

use crate::config::{self, Config};
use crate::options::Options;
use crate::report::build::{Measured, Phase, ServerUsage, build};
use crate::report::hdr::Recorder;
use crate::report::model::Report;
use crate::tally::Tally;
use crate::worker::Worker;
use crate::worker::plan::{Interval, Message, Pace, Shared, nanos};
use crate::workload::source::Share;
use gather::{Gathered, Over};
use live::Live;
use process::Usage;

/// How often the main thread looks whether it is time for something.
const LOOK: Duration = Duration::from_millis(50);

/// Why a run could not take place; one line.
#[derive(Debug)]
pub(crate) struct RunError(pub(crate) String);

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Runs and reports. The report of a run that was interrupted is of what came before.
pub(crate) fn run(options: &Options) -> Result<Report, RunError> {
    let Config { plan, keyspace, mut configuration, label } = config::resolve(options).map_err(RunError)?;
    let cpus = choose_cpus(options)?;
    configuration.cpus = cpus.iter().map(|cpu| cpu.id as u64).collect();
    if (options.connections as usize) < cpus.len() {
        return Err(RunError(format!("{} connections are too few for {} threads", options.connections, cpus.len())));
    }
    if let Some(pid) = options.server_pid {
        Usage::of(pid).map_err(RunError)?;
    }
    let shared = Arc::new(Shared {
        keyspace,
        plan,
        epoch: Instant::now(),
        phases_done: AtomicU32::new(0),
        start: OnceLock::new(),
        done_items: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let count = options.connections as usize;
    let recorder = options.hdr.as_deref().map(Recorder::create).transpose().map_err(RunError)?;
    let shares = connect::connect(&options.server, options.udp, count, cpus.len()).map_err(RunError)?;
    stop_on_signals(&shared)?;
    let messages = start_workers(&shared, &cpus, shares);
    let mut follower = Follower::new(options, &shared, cpus.len());
    follower.recorder = recorder;
    let outcome = follower.follow(&messages);
    follower.live.end();
    outcome?;
    let recorder = follower.recorder.take();
    let measured = follower.measured();
    recorder.map_or(Ok(()), |recorder| recorder.finish(&measured.total)).map_err(RunError)?;
    Ok(build(configuration, label, cpus.len(), measured))
}

/// Follows the workers from the load phase to their end.
struct Follower<'a> {
    shared: &'a Shared,
    workers: usize,
    knee_p99_us: f64,
    live: Live,
    phases: Vec<Phase>,
    /// What the workers told of the phase under way, and how many have.
    phase: Tally,
    phase_begun: Instant,
    told: usize,
    gathered: Option<Gathered>,
    tail: Tally,
    unsent: u64,
    started: SystemTime,
    probe: Probe,
    recorder: Option<Recorder>,
}

impl<'a> Follower<'a> {
    fn new(options: &Options, shared: &'a Shared, workers: usize) -> Follower<'a> {
        let mut follower = Follower {
            shared,
            workers,
            knee_p99_us: options.knee_p99.as_secs_f64() * 1e6,
            live: Live::new(options.progress),
            phases: Vec::new(),
            phase: Tally::default(),
            phase_begun: Instant::now(),
            told: 0,
            gathered: None,
            tail: Tally::default(),
            unsent: 0,
            started: SystemTime::now(),
            probe: Probe { pid: options.server_pid, begin: None, end: None },
            recorder: None,
        };
        if shared.plan.run.is_none() {
            follower.probe.take_begin();
        }
        follower.begin_phase();
        follower
    }

    /// Puts up the bar of the next phase, or starts the run if there is none left.
    fn begin_phase(&mut self) {
        let plan = &self.shared.plan;
        let phases = [("load", plan.load), ("check", plan.check)];
        let next = phases.into_iter().filter(|(_, count)| *count > 0).nth(self.phases.len());
        self.shared.done_items.store(0, Ordering::Relaxed);
        self.phase_begun = Instant::now();
        if let Some((name, count)) = next {
            return self.live.begin_bar(name, count);
        }
        self.started = SystemTime::now();
        if let Some(run) = &plan.run {
            let start = self.shared.now();
            let rates = match &run.pace {
                Pace::Open { rates, .. } => rates.clone(),
                _ => Vec::new(),
            };
            self.gathered = Some(Gathered::new(self.workers, run.schedule(start), rates, self.knee_p99_us));
            self.started += run.warmup;
            let _ = self.shared.start.set(start);
        }
    }

    fn follow(&mut self, messages: &Receiver<Message>) -> Result<(), RunError> {
        let mut done = 0;
        while done < self.workers {
            match messages.recv_timeout(LOOK) {
                Ok(Message::PhaseOver { tally }) => self.phase_told(&tally),
                Ok(Message::Interval(interval)) => self.interval(&interval),
                Ok(Message::Done { tally, unsent }) => {
                    self.probe.take_end();
                    self.unsent += unsent;
                    self.tail.merge(&tally);
                    done += 1;
                }
                Ok(Message::Failed(error)) => return Err(RunError(format!("a worker failed: {error}"))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(RunError("a worker died".into())),
            }
            self.look();
        }
        if let Some(gathered) = &mut self.gathered {
            for over in gathered.finish() {
                self.second(&over);
            }
        }
        Ok(())
    }

    fn phase_told(&mut self, tally: &Tally) {
        self.phase.merge(tally);
        self.told += 1;
        if self.told < self.workers {
            return;
        }
        self.live.end_bar(self.shared.done_items.load(Ordering::Relaxed));
        let tally = std::mem::take(&mut self.phase);
        self.phases.push(Phase { tally, elapsed: self.phase_begun.elapsed() });
        self.told = 0;
        self.begin_phase();
        self.shared.phases_done.fetch_add(1, Ordering::Release);
    }

    fn interval(&mut self, interval: &Interval) {
        let Some(gathered) = &mut self.gathered else { return };
        let completed = gathered.add(interval);
        let is_past_knee = gathered.is_past_knee();
        for over in completed {
            self.second(&over);
        }
        if is_past_knee {
            self.shared.stop.store(true, Ordering::Relaxed);
        }
    }

    fn second(&mut self, over: &Over) {
        self.live.second(&over.second, over.rate, over.ends_step);
        if let Some(recorder) = &mut self.recorder {
            recorder.second(&over.second, &over.tally, self.started);
        }
    }

    /// Looks whether it is time to see what the server has used.
    fn look(&mut self) {
        if self.gathered.is_none() {
            return self.live.advance_bar(self.shared.done_items.load(Ordering::Relaxed));
        }
        let (Some(start), Some(run)) = (self.shared.start.get(), &self.shared.plan.run) else { return };
        let schedule = run.schedule(*start);
        if self.probe.begin.is_none() && self.sleep_if_near(schedule.begin) {
            self.probe.take_begin();
        }
        if self.probe.begin.is_some() && (self.shared.is_stopped() || self.sleep_if_near(schedule.end())) {
            self.probe.take_end();
        }
    }

    fn sleep_if_near(&self, due: u64) -> bool {
        let left = due.saturating_sub(self.shared.now());
        let is_near = left <= nanos(LOOK) * 2;
        if is_near && self.probe.pid.is_some() {
            thread::sleep(Duration::from_nanos(left));
        }
        is_near
    }

    fn measured(self) -> Measured {
        let mut total = Tally::default();
        self.phases.iter().for_each(|phase| total.merge(&Tally::of_errors(phase.tally.errors.clone())));
        let mut measured = Measured {
            has_load: self.shared.plan.load > 0,
            phases: self.phases,
            is_phases_only: self.shared.plan.run.is_none(),
            started: Some(self.started),
            server: self.probe.used(),
            ..Measured::default()
        };
        if let Some(gathered) = self.gathered {
            measured.seconds = gathered.seconds();
            measured.idle_ratio = gathered.idle_ratio();
            measured.knee_rate = gathered.knee_rate();
            measured.cpu_ns = gathered.cpu_ns;
            measured.unsent = gathered.unsent + self.unsent;
            measured.in_time = gathered.total.counts().map(|(name, count)| (name, count.histogram.len())).collect();
            total.merge(&gathered.total);
            measured.series = gathered.series;
            measured.steps = gathered.steps;
        }
        total.merge(&self.tail);
        measured.total = total;
        measured
    }
}

/// The server's process at the begin and the end of what is measured.
struct Probe {
    pid: Option<u32>,
    begin: Option<(Instant, Usage)>,
    end: Option<(Instant, Usage)>,
}

impl Probe {
    fn take_begin(&mut self) {
        let usage = self.pid.and_then(|pid| Usage::of(pid).ok());
        self.begin = usage.map(|usage| (Instant::now(), usage));
        // A server that is gone is what the report is about, not a reason for none.
        self.pid = self.begin.and(self.pid);
    }

    /// The first time counts.
    fn take_end(&mut self) {
        if self.begin.is_some() && self.end.is_none() {
            let usage = self.pid.and_then(|pid| Usage::of(pid).ok());
            self.end = usage.map(|usage| (Instant::now(), usage));
        }
    }

    fn used(&self) -> Option<ServerUsage> {
        let ((begun, begin), (ended, end)) = (self.begin?, self.end?);
        Some(ServerUsage {
            pid: self.pid?,
            cpu: end.cpu.checked_sub(begin.cpu)?,
            // Less than before if a thread that had waited has ended.
            waited: end.waited.saturating_sub(begin.waited),
            elapsed: ended - begun,
            rss_bytes_begin: begin.rss_bytes,
            rss_bytes_end: end.rss_bytes,
        })
    }
}

fn choose_cpus(options: &Options) -> Result<Vec<CoreId>, RunError> {
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    if options.cpus.is_empty() {
        let first = allowed.len().checked_sub(options.threads.into());
        let first = first.ok_or_else(|| {
            RunError(format!("{} threads want a CPU each, {} are allowed", options.threads, allowed.len()))
        })?;
        return Ok(allowed[first..].to_vec());
    }
    let choose = |id: &usize| {
        let found = allowed.iter().find(|cpu| cpu.id == *id);
        found.copied().ok_or_else(|| RunError(format!("CPU {id} is not among those this process may use")))
    };
    options.cpus.iter().map(choose).collect()
}

/// The first Ctrl-C ends the measurement, the second the process.
fn stop_on_signals(shared: &Arc<Shared>) -> Result<(), RunError> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Before any other thread is started, since those inherit it.
    signals.thread_block().map_err(|error| RunError(format!("cannot block signals: {error}")))?;
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        while signals.wait().is_ok() {
            if shared.stop.swap(true, Ordering::Relaxed) {
                exit(130);
            }
        }
    });
    Ok(())
}

fn start_workers(shared: &Arc<Shared>, cpus: &[CoreId], shares: Vec<Vec<OwnedFd>>) -> Receiver<Message> {
    let (sender, receiver) = mpsc::channel();
    let workers = u32::try_from(cpus.len()).unwrap_or(u32::MAX);
    for (worker, (cpu, sockets)) in (0..).zip(cpus.iter().copied().zip(shares)) {
        let (shared, sender) = (Arc::clone(shared), sender.clone());
        thread::spawn(move || {
            // The receiver is gone only when the run has failed already.
            let mut tell = |message| drop(sender.send(message));
            if !core_affinity::set_for_current(cpu) {
                return tell(Message::Failed(io::Error::other(format!("cannot pin to CPU {}", cpu.id))));
            }
            let share = Share { worker, workers };
            let outcome = Worker::new(&shared, sockets, share).and_then(|worker| worker.run(&mut tell));
            if let Err(error) = outcome {
                tell(Message::Failed(error));
            }
        });
    }
    receiver
}
