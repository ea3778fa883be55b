//! Puts together what the workers report of a run: seconds, steps of a ramp, totals.

use std::collections::BTreeMap;

use crate::report::model::{Interval as Second, Latency, Step, micros};
use crate::tally::Tally;
use crate::worker::plan::Interval;
use crate::worker::schedule::Schedule;

/// A step is kept up with if this part of the requests that were due in it were answered in it.
const KEPT_UP_RATIO: f64 = 0.98;

/// All that is known of a run so far.
pub(super) struct Gathered {
    workers: usize,
    schedule: Schedule,
    /// Rates of the steps; none in a closed loop.
    rates: Vec<f64>,
    knee_p99_us: f64,
    /// Intervals that not all workers have reported, by their begin.
    open: BTreeMap<u64, Open>,
    pub(super) total: Tally,
    pub(super) series: Vec<Second>,
    pub(super) steps: Vec<Step>,
    step: StepSoFar,
    pub(super) unsent: u64,
    pub(super) cpu_ns: u64,
    /// By worker, since the begin or, in a ramp, in the step.
    usage: Vec<(u64, u64)>,
    /// The least idle worker of all steps.
    least_idle: f64,
    /// The latest end of an interval.
    pub(super) until: u64,
}

struct Open {
    tally: Tally,
    end: u64,
    reported: usize,
    unsent: u64,
}

#[derive(Default)]
struct StepSoFar {
    tally: Tally,
    begin: u64,
    end: u64,
}

/// A second is over.
pub(super) struct Over {
    pub(super) second: Second,
    pub(super) tally: Tally,
    pub(super) rate: Option<f64>,
    /// And a step of a ramp with it.
    pub(super) ends_step: bool,
}

impl Gathered {
    pub(super) fn new(workers: usize, schedule: Schedule, rates: Vec<f64>, knee_p99_us: f64) -> Gathered {
        Gathered {
            workers,
            schedule,
            rates,
            knee_p99_us,
            open: BTreeMap::new(),
            total: Tally::default(),
            series: Vec::new(),
            steps: Vec::new(),
            step: StepSoFar::default(),
            unsent: 0,
            cpu_ns: 0,
            usage: vec![(0, 0); workers],
            least_idle: 1.0,
            until: schedule.begin,
        }
    }

    /// A worker's interval. Tells of every second that it completes.
    pub(super) fn add(&mut self, interval: &Interval) -> Vec<Over> {
        self.cpu_ns += interval.cpu_ns;
        if let Some((cpu, time)) = self.usage.get_mut(interval.worker) {
            *cpu += interval.cpu_ns;
            *time += interval.end - interval.begin;
        }
        let open = self.open.entry(interval.begin).or_insert_with(|| Open {
            tally: Tally::default(),
            end: interval.end,
            reported: 0,
            unsent: 0,
        });
        open.tally.merge(&interval.tally);
        open.end = open.end.max(interval.end);
        open.unsent += interval.unsent;
        open.reported += 1;
        let mut over = Vec::new();
        while self.open.first_key_value().is_some_and(|(_, open)| open.reported == self.workers) {
            over.extend(self.close_first());
        }
        over
    }

    /// All workers have ended: what they have reported of the last second is all there is.
    pub(super) fn finish(&mut self) -> Vec<Over> {
        let mut over = Vec::new();
        while !self.open.is_empty() {
            over.extend(self.close_first());
        }
        if self.rates.len() > 1 && self.step.end > self.step.begin {
            self.end_step();
        }
        self.settle_idle();
        over
    }

    /// The part of the time in which the busiest worker did not use its CPU.
    pub(super) fn idle_ratio(&self) -> f64 {
        self.least_idle
    }

    /// How long was measured.
    pub(super) fn seconds(&self) -> f64 {
        seconds(self.until - self.schedule.begin)
    }

    /// Whether the last two steps of a ramp were too much: no need to go on.
    pub(super) fn is_past_knee(&self) -> bool {
        matches!(self.steps.as_slice(), [.., last, latest] if !last.kept_up && !latest.kept_up)
    }

    pub(super) fn knee_rate(&self) -> Option<f64> {
        self.steps.iter().rev().find(|step| step.kept_up).map(|step| step.rate)
    }

    fn close_first(&mut self) -> Option<Over> {
        let (begin, Open { tally, end, unsent, .. }) = self.open.pop_first()?;
        let second = second_of(&tally, begin - self.schedule.begin, end - begin);
        self.series.push(second);
        self.total.merge(&tally);
        self.unsent += unsent;
        self.until = self.until.max(end);
        let step = self.schedule.step(begin);
        let is_ramp = self.rates.len() > 1;
        if is_ramp {
            if self.step.end == self.step.begin {
                self.step.begin = begin;
            }
            self.step.tally.merge(&tally);
            self.step.end = end;
        }
        let is_step_over = is_ramp && end == self.schedule.step_begin(step + 1);
        if is_step_over {
            self.end_step();
        }
        Some(Over { second, tally, rate: self.rates.get(step).copied(), ends_step: is_step_over })
    }

    fn end_step(&mut self) {
        self.settle_idle();
        let StepSoFar { tally, begin, end } = std::mem::take(&mut self.step);
        let latency = Latency::of(&tally.histogram());
        let (answered, due) = (count(tally.requests()), count(tally.due));
        let seconds = seconds(end - begin);
        let index = self.schedule.step(begin);
        self.steps.push(Step {
            rate: self.rates.get(index).copied().unwrap_or(0.0),
            seconds,
            requests_per_second: answered / seconds,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            p99_9_us: latency.p99_9_us,
            max_us: latency.max_us,
            kept_up: answered >= due * KEPT_UP_RATIO && latency.p99_us <= self.knee_p99_us,
        });
    }

    fn settle_idle(&mut self) {
        for (cpu, time) in &mut self.usage {
            if *time > 0 {
                let idle = (1.0 - count(*cpu) / count(*time)).max(0.0);
                self.least_idle = self.least_idle.min(idle);
            }
            (*cpu, *time) = (0, 0);
        }
    }
}

fn second_of(tally: &Tally, at: u64, len: u64) -> Second {
    let histogram = tally.histogram();
    let (hits, misses) = tally.hits_and_misses();
    let length = seconds(len);
    Second {
        at_seconds: seconds(at),
        seconds: length,
        requests: tally.requests(),
        requests_per_second: if len > 0 { count(tally.requests()) / length } else { 0.0 },
        hits,
        misses,
        p50_us: micros(histogram.value_at_quantile(0.5)),
        p99_us: micros(histogram.value_at_quantile(0.99)),
        max_us: micros(histogram.max()),
        sent_bytes: tally.sent_bytes,
        received_bytes: tally.received_bytes,
        errors: tally.errors.bad(),
    }
}

fn seconds(nanos: u64) -> f64 {
    count(nanos) / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "a report needs no more than 15 digits")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Reply;
    use crate::workload::Operation;
    use crate::workload::keyspace::Family;
    use crate::workload::source::{Request, Then};

    const SECOND: u64 = 1_000_000_000;

    /// A worker's interval in which `due` requests came due and `answered` were answered in `latency` nanoseconds.
    fn interval(worker: usize, second: u64, due: u64, answered: u64, latency: u64) -> Interval {
        let (operation, family, then) = (Operation::Get, Family::Item, Then::Nothing);
        let request = Request { operation, family, key: 0, version: 0, size: 0, ttl: 0, unique: 0, then };
        let mut tally = Box::new(Tally::default());
        tally.due = due;
        for _ in 0..answered {
            tally.reply(&Reply { request, at: 0, hits: 1, misses: 0, unique: 0, is_refused: false }, latency);
        }
        tally.settle();
        let begin = 5 * SECOND + second * SECOND;
        Interval { worker, begin, end: begin + SECOND, cpu_ns: SECOND / 4 * (worker as u64 + 1), tally, unsent: 0 }
    }

    #[test]
    fn a_second_is_over_when_all_workers_have_told() {
        let schedule = Schedule { begin: 5 * SECOND, step_len: 10 * SECOND, steps: 1 };
        let mut gathered = Gathered::new(2, schedule, Vec::new(), 1000.0);
        assert!(gathered.add(&interval(0, 0, 0, 10, 5000)).is_empty());
        // A worker may be a second ahead.
        assert!(gathered.add(&interval(0, 1, 0, 20, 5000)).is_empty());
        let over = gathered.add(&interval(1, 0, 0, 30, 5000));
        assert_eq!(over.iter().map(|over| over.second.requests).collect::<Vec<_>>(), [40]);
        assert_eq!(gathered.finish().len(), 1);
        assert_eq!((gathered.total.requests(), gathered.seconds()), (60, 2.0));
        assert_eq!((gathered.series[1].at_seconds, gathered.idle_ratio()), (1.0, 0.5));
    }

    #[test]
    fn a_ramp_finds_its_knee() {
        let schedule = Schedule { begin: 5 * SECOND, step_len: SECOND, steps: 5 };
        let rates = vec![100.0, 200.0, 300.0, 400.0, 500.0];
        let mut gathered = Gathered::new(1, schedule, rates, 1000.0);
        for (second, (answered, latency)) in (0..).zip([(100, 50_000), (199, 60_000), (250, 90_000), (400, 2_000_000)])
        {
            assert!(!gathered.is_past_knee());
            let over = gathered.add(&interval(0, second, 100 * (second + 1), answered, latency));
            assert!(over[0].ends_step);
        }
        // The third step answered too few, the fourth too late.
        let kept_up: Vec<bool> = gathered.steps.iter().map(|step| step.kept_up).collect();
        assert_eq!(kept_up, [true, true, false, false]);
        assert!(gathered.is_past_knee());
        assert_eq!(gathered.knee_rate(), Some(200.0));
    }
}
