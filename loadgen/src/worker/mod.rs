//! One pinned thread with its ring and its connections.

mod asking;
mod datagrams;
mod lane;
pub(crate) mod plan;
pub(crate) mod schedule;
mod talk;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use ringcached_ring::{Event, Received, Ring, Wait};

use crate::conversation::{Reply, Violation};
use crate::tally::Tally;
use crate::workload::access::Access;
use crate::workload::arrivals::Arrivals;
use crate::workload::keyspace::Keyspace;
use crate::workload::random::Random;
use crate::workload::source::{Drawn, Share, Source, Then};
use lane::Lane;
use plan::{Interval, Message, Pace, Plan, RunPlan, Shared, nanos};
use schedule::Schedule;

/// Nothing is waited for longer than this at a time, so that a request to stop is seen.
const TURN_MAX: u64 = 100_000_000;
/// While it waits for the others, a worker looks up this often.
const BARRIER_LOOK: u64 = 1_000_000;
/// How often is looked for replies that take too long.
const OVERDUE_LOOK: u64 = 100_000_000;
/// How long replies that are due at the end are waited for.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long is listened after the last reply for one too many.
const LINGER: u64 = 20_000_000;
/// No batch grows beyond this by one more request.
const BATCH_LEN_MAX: usize = 64 << 10;
/// Receive buffers of a worker, at least.
const BUFFERS_MIN: u16 = 64;
/// About what a reply has beside its value.
const HEAD_LEN: usize = 64;

/// What decides when the next request may go out.
enum Timing {
    /// At once, wherever there is room.
    Room,
    /// When it is due.
    Due(Arrivals),
    /// When the trace says, from `begin` on, times 1 / `speed`.
    Trace { begin: u64, speed: f64 },
}

pub(crate) struct Worker<'a> {
    shared: &'a Shared,
    share: Share,
    ring: Ring,
    /// By the slot of their names: no slot is ever reused here.
    lanes: Vec<Lane>,
    source: Source,
    timing: Timing,
    /// Requests in flight per connection, at most.
    depth: usize,
    think: u64,
    /// Whether requests are sent at all.
    is_asking: bool,
    /// The source is at its end.
    is_exhausted: bool,
    /// Replies count that come while this is set; in an open loop, those to requests due since `measured_from`.
    is_measuring: bool,
    measured_from: u64,
    /// Requests that were due before the end and have not been sent at all.
    unsent: u64,
    tally: Tally,
    /// Lanes to which something may be sent.
    ready: VecDeque<usize>,
    /// Lanes with a request that does not wait for its moment: it follows from a reply.
    urgent: Vec<usize>,
    /// Lanes that think, and until when.
    thinking: BinaryHeap<Reverse<(u64, usize)>>,
    /// Lanes and the number of replies just come to be expected of each.
    asked: Vec<(usize, usize)>,
    replies: u64,
    /// Keys of the multi-get being made.
    keys: Vec<u64>,
    now: u64,
    overdue_look: u64,
}

impl<'a> Worker<'a> {
    /// Call it on the thread that will run it.
    pub(crate) fn new(shared: &'a Shared, sockets: Vec<OwnedFd>, share: Share) -> io::Result<Worker<'a>> {
        let plan = &shared.plan;
        let mut ring = Ring::new(&ring_options(plan, &shared.keyspace, sockets.len()))?;
        let mut lanes = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let id = ring.add(socket)?;
            debug_assert_eq!(id.index(), lanes.len());
            ring.read(id);
            lanes.push(Lane::new(id, plan.manner, plan.is_udp));
        }
        Ok(Worker {
            shared,
            share,
            ring,
            lanes,
            source: Source::load(0, plan.ttls.clone(), plan.seed, share),
            timing: Timing::Room,
            depth: plan.load_depth,
            think: 0,
            is_asking: false,
            is_exhausted: false,
            is_measuring: false,
            measured_from: 0,
            unsent: 0,
            tally: Tally::default(),
            ready: VecDeque::new(),
            urgent: Vec::new(),
            thinking: BinaryHeap::new(),
            asked: Vec::new(),
            replies: 0,
            keys: Vec::new(),
            now: shared.now(),
            overdue_look: 0,
        })
    }

    /// Does all that the plan says and tells of it.
    pub(crate) fn run(mut self, tell: &mut dyn FnMut(Message)) -> io::Result<()> {
        let plan = &self.shared.plan;
        let mut phases = 0;
        if plan.load > 0 {
            let source = Source::load(plan.load, plan.ttls.clone(), plan.seed, self.share);
            self.phase(source, &mut phases, tell)?;
        }
        if plan.check > 0 {
            let source = Source::check(plan.load, plan.check, plan.ttls.clone(), plan.seed, self.share);
            self.phase(source, &mut phases, tell)?;
        }
        if let Some(run) = &plan.run {
            let start = loop {
                if let Some(start) = self.shared.start.get() {
                    break *start;
                }
                if self.shared.is_stopped() {
                    break self.shared.now();
                }
                self.turn(BARRIER_LOOK)?;
            };
            self.measure(run, start, tell)?;
        }
        self.drain()?;
        self.tally.settle();
        tell(Message::Done { tally: Box::new(self.tally), unsent: self.unsent });
        Ok(())
    }

    /// Sends all of a source as fast as the server takes it, then waits for the other workers.
    fn phase(&mut self, source: Source, phases: &mut u32, tell: &mut dyn FnMut(Message)) -> io::Result<()> {
        self.source = source;
        (self.is_exhausted, self.is_measuring) = (false, true);
        self.ask_all();
        self.turn(0)?;
        while !self.is_over() && !self.shared.is_stopped() && self.is_any_alive() {
            let before = self.replies;
            self.turn(TURN_MAX)?;
            self.shared.done_items.fetch_add(self.replies - before, Ordering::Relaxed);
        }
        (self.is_asking, self.is_measuring) = (false, false);
        self.tally.settle();
        tell(Message::PhaseOver { tally: Box::new(mem::take(&mut self.tally)) });
        *phases += 1;
        while self.shared.phases_done.load(Ordering::Acquire) < *phases && !self.shared.is_stopped() {
            self.turn(BARRIER_LOOK)?;
        }
        Ok(())
    }

    fn measure(&mut self, run: &RunPlan, start: u64, tell: &mut dyn FnMut(Message)) -> io::Result<()> {
        let schedule = run.schedule(start);
        let end = schedule.end();
        self.begin_run(run, start);
        let mut interval = schedule.begin;
        let (mut cpu, mut step) = (0, 0);
        self.ask_all();
        // Without a warm-up the first reply counts already.
        self.now = self.shared.now();
        while self.now < end && !self.is_over() && !self.shared.is_stopped() && self.is_any_alive() {
            if !self.is_measuring && self.now >= schedule.begin {
                self.is_measuring = true;
                cpu = thread_cpu_nanos()?;
                // What the warm-up counted is forgotten, its errors are not.
                self.tally = Tally::of_errors(mem::take(&mut self.tally.errors));
            }
            while self.is_measuring && self.now >= schedule.interval_end(interval) {
                let interval_end = schedule.interval_end(interval);
                let next_step = schedule.step(interval_end);
                let unsent = if next_step == step { 0 } else { self.begin_step(run, &schedule, next_step) };
                step = next_step;
                self.report_interval((interval, interval_end), &mut cpu, unsent, tell)?;
                interval = interval_end;
            }
            let milestone = if self.is_measuring { schedule.interval_end(interval) } else { schedule.begin };
            self.turn(milestone.saturating_sub(self.now).min(TURN_MAX))?;
        }
        self.is_measuring = false;
        let interval_end = self.now.min(end);
        self.tally.due += self.waiting(interval_end);
        if interval_end > interval {
            self.report_interval((interval, interval_end), &mut cpu, 0, tell)?;
        }
        self.send_late()?;
        self.is_asking = false;
        self.unsent = self.waiting(interval_end);
        Ok(())
    }

    /// How many requests of an open loop were due before this and have not been sent.
    fn waiting(&self, until: u64) -> u64 {
        if let Timing::Due(arrivals) = &self.timing { arrivals.waiting(until) } else { 0 }
    }

    /// Sends what was due when measuring ended and has not been sent: left out, it would be missing where the latencies
    /// are highest.
    fn send_late(&mut self) -> io::Result<()> {
        let give_up = self.now + nanos(DRAIN_MAX);
        while matches!(self.timing, Timing::Due(_)) && self.next_due() < u64::MAX && self.now < give_up {
            if self.is_exhausted || self.shared.is_stopped() || !self.is_any_alive() {
                break;
            }
            self.turn(TURN_MAX)?;
        }
        Ok(())
    }

    fn begin_run(&mut self, run: &RunPlan, start: u64) {
        let plan = &self.shared.plan;
        let (worker, workers) = (u64::from(self.share.worker), u64::from(self.share.workers));
        self.source = if let Some(trace) = &run.trace {
            Source::replay(trace.clone(), run.requests, plan.ttls.clone(), plan.seed, self.share)
        } else {
            let access = Access::new(run.pattern, self.shared.keyspace.count(), worker, workers);
            let drawn = Drawn { mix: run.mix.clone(), access, multiget: run.multiget };
            Source::mixed(drawn, run.requests, plan.ttls.clone(), plan.seed, self.share)
        };
        self.source.fills = run.fills;
        self.depth = run.depth;
        (self.is_exhausted, self.measured_from) = (false, start + nanos(run.warmup));
        match &run.pace {
            Pace::Closed { think } => self.think = nanos(*think),
            Pace::Open { .. } => {
                self.timing = Timing::Due(self.arrivals(run, start..run.schedule(start).step_begin(1), 0));
            }
            Pace::Recorded { speed } => self.timing = Timing::Trace { begin: start, speed: *speed },
        }
    }

    fn arrivals(&self, run: &RunPlan, span: Range<u64>, step: usize) -> Arrivals {
        let (worker, workers) = (u64::from(self.share.worker), u64::from(self.share.workers));
        let (gaps, rate) = match &run.pace {
            Pace::Open { gaps, rates } => (*gaps, rates.get(step).copied().unwrap_or(1.0)),
            _ => unreachable!("only an open loop has arrivals"),
        };
        let seed = self.shared.plan.seed ^ (step as u64) << 32 ^ (worker + 1);
        #[expect(clippy::cast_precision_loss, reason = "a handful of workers")]
        let rate = rate / workers as f64;
        Arrivals::new(gaps, rate, span, Random::new(seed), worker, workers)
    }

    /// Goes to another rate of a ramp; what has not been sent at the old one will not be. Tells how much that is.
    fn begin_step(&mut self, run: &RunPlan, schedule: &Schedule, step: usize) -> u64 {
        let begin = schedule.step_begin(step);
        let Timing::Due(arrivals) = &self.timing else { return 0 };
        let unsent = arrivals.waiting(begin);
        self.tally.due += unsent;
        self.timing = Timing::Due(self.arrivals(run, begin..schedule.step_begin(step + 1), step));
        unsent
    }

    fn report_interval(
        &mut self,
        (begin, end): (u64, u64),
        cpu: &mut u64,
        unsent: u64,
        tell: &mut dyn FnMut(Message),
    ) -> io::Result<()> {
        let cpu_now = thread_cpu_nanos()?;
        let cpu_ns = cpu_now - mem::replace(cpu, cpu_now);
        self.tally.settle();
        let tally = Box::new(mem::take(&mut self.tally));
        let worker = self.share.worker as usize;
        tell(Message::Interval(Interval { worker, begin, end, cpu_ns, tally, unsent }));
        Ok(())
    }

    /// Waits for the replies that are due, then a little longer for those that are not.
    fn drain(&mut self) -> io::Result<()> {
        self.is_asking = false;
        let give_up = self.shared.now() + nanos(DRAIN_MAX.min(self.shared.plan.timeout));
        while self.outstanding() > 0 && self.now < give_up {
            self.turn(TURN_MAX)?;
        }
        let linger = self.now + LINGER;
        while self.now < linger {
            self.turn(linger.saturating_sub(self.now))?;
        }
        let lost = self.outstanding();
        if lost > 0 {
            self.tally.lost(lost, format!("{lost} replies did not come in time"));
        }
        Ok(())
    }

    fn ask_all(&mut self) {
        self.is_asking = true;
        for index in 0..self.lanes.len() {
            self.set_ready(index);
        }
        self.ask();
    }

    /// One turn of the ring: take what came, then give every connection what it may have. The clock is read when the
    /// kernel returns, and once more after all requests are handed over: a batch is a moment for all of them.
    fn turn(&mut self, wait: u64) -> io::Result<()> {
        let wait = Duration::from_nanos(wait.min(self.until_next_request()));
        self.ring.turn(if wait.is_zero() { Wait::Poll } else { Wait::UpTo(wait) })?;
        self.now = self.shared.now();
        while let Some(event) = self.ring.next_event() {
            match event {
                Event::Received(received) => {
                    let index = received.id().index();
                    let verdict = self.receive(index, &received);
                    self.ring.release(received);
                    match verdict {
                        Ok(()) => self.after_replies(index),
                        Err(violation) => self.violated(index, violation),
                    }
                }
                Event::Sent { id } => self.set_ready(id.index()),
                Event::Ended { id, error } => {
                    let why = error.map_or("the server closed a connection".to_string(), |error| error.to_string());
                    self.disconnected(id.index(), &why);
                }
                Event::SendFailed { id, error } => self.disconnected(id.index(), &error.to_string()),
                _ => {}
            }
        }
        while let Some(Reverse((until, index))) = self.thinking.peek().copied()
            && until <= self.now
        {
            self.thinking.pop();
            self.set_ready(index);
        }
        self.ask();
        if self.now >= self.overdue_look {
            self.overdue_look = self.now + OVERDUE_LOOK;
            self.end_overdue();
        }
        Ok(())
    }

    /// How long nothing will have to be sent if nothing comes in.
    fn until_next_request(&self) -> u64 {
        let thought = self.thinking.peek().map_or(u64::MAX, |Reverse((until, _))| *until);
        let due = if self.is_asking && !self.ready.is_empty() { self.next_due() } else { u64::MAX };
        thought.min(due).saturating_sub(self.shared.now())
    }

    fn next_due(&self) -> u64 {
        match &self.timing {
            Timing::Room => u64::MAX,
            Timing::Due(arrivals) => arrivals.due(),
            Timing::Trace { begin, speed } => self.source.due().map_or(u64::MAX, |due| begin + scale(due, *speed)),
        }
    }

    fn receive(&mut self, index: usize, received: &Received) -> Result<(), Violation> {
        let lane = &mut self.lanes[index];
        if !lane.is_alive {
            return Ok(());
        }
        lane.waits_since = self.now;
        let bytes = self.ring.bytes(received);
        if self.is_measuring {
            self.tally.received_bytes += bytes.len() as u64;
        }
        let is_open = !matches!(self.timing, Timing::Room);
        let (tally, followups, replies) = (&mut self.tally, &mut lane.followups, &mut self.replies);
        let (source, keyspace, now) = (&mut self.source, &self.shared.keyspace, self.now);
        let (is_measuring, measured_from, is_asking) = (self.is_measuring, self.measured_from, self.is_asking);
        let verdict = lane.talk.receive(bytes, keyspace, &mut |reply: Reply| {
            *replies += 1;
            if reply.is_refused {
                tally.refused();
            }
            // An open loop goes by when a request was due, so that a late reply counts even after the end.
            if if is_open { reply.at >= measured_from } else { is_measuring } {
                tally.reply(&reply, now.saturating_sub(reply.at));
            }
            if reply.request.then == Then::Swap && reply.hits > 0 && is_asking {
                followups.push_back(source.swap(reply.request, reply.unique, keyspace));
            }
        });
        for missed in lane.talk.missed().drain(..) {
            if self.is_asking && missed.then == Then::Fill {
                lane.followups.push_back(self.source.fill(missed, &self.shared.keyspace));
            }
        }
        verdict
    }

    fn after_replies(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if !lane.followups.is_empty() {
            self.urgent.push(index);
        }
        if self.think == 0 || !lane.followups.is_empty() {
            self.set_ready(index);
        } else if lane.talk.outstanding() == 0 {
            lane.wakes_at = self.now + self.think;
            self.thinking.push(Reverse((lane.wakes_at, index)));
        }
    }

    fn set_ready(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if !lane.is_ready {
            lane.is_ready = true;
            lane.ready_at = self.now;
            self.ready.push_back(index);
        }
    }
}

/// The kernel fills receive buffers in turn, all of them, so that as few as will do stay in the core's own cache: enough
/// for what can be on its way to all connections at once.
fn ring_options(plan: &Plan, keyspace: &Keyspace, connections: usize) -> ringcached_ring::Options {
    let options = ringcached_ring::Options::default();
    let (depth, keys) = plan.run.as_ref().map_or((1, 1), |run| (run.depth, run.multiget.max(1)));
    let reply_len_max = keyspace.value_len_max().saturating_add(HEAD_LEN).saturating_mul(keys);
    let pieces = reply_len_max.saturating_mul(depth).div_ceil(options.buffer_len as usize);
    let buffers = pieces.saturating_mul(connections).min(options.buffers.into()).next_power_of_two();
    let buffers = u16::try_from(buffers).unwrap_or(u16::MAX).clamp(BUFFERS_MIN, options.buffers);
    ringcached_ring::Options { buffers, ..options }
}

fn scale(nanos: u64, speed: f64) -> u64 {
    Duration::from_nanos(nanos).div_f64(speed).as_nanos().try_into().unwrap_or(u64::MAX)
}

fn thread_cpu_nanos() -> io::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(nanos(Duration::from(time)))
}
