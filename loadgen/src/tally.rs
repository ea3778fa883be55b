//! What a worker counts, and how the counts of several add up.

use hdrhistogram::Histogram;

use crate::conversation::Reply;
use crate::report::model::{Errors, new_histogram};
use crate::workload::Operation;

/// How many examples of errors are kept.
const EXAMPLES_MAX: usize = 8;

/// What one worker, or all together, counted in some stretch of time. Its size does not depend on how long that is.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    counts: [Option<Box<Count>>; Operation::ALL.len()],
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) errors: Errors,
    /// Open loop: requests that came due.
    pub(crate) due: u64,
    /// Open loop: how long after it was due a request was handed over although a connection was free.
    lag: Option<Box<Histogram<u64>>>,
    /// Replies in a row with the same operation and latency, not yet in its histogram: a batch has one latency.
    run: Option<(Operation, u64, u64)>,
}

/// One operation's part.
#[derive(Clone)]
pub(crate) struct Count {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Nanoseconds, one per reply.
    pub(crate) histogram: Histogram<u64>,
}

impl Count {
    fn new() -> Count {
        Count { hits: 0, misses: 0, histogram: new_histogram() }
    }
}

impl Tally {
    /// Of errors alone.
    pub(crate) fn of_errors(errors: Errors) -> Tally {
        Tally { errors, ..Tally::default() }
    }

    pub(crate) fn reply(&mut self, reply: &Reply, latency_ns: u64) {
        let operation = reply.request.operation;
        let count = self.counts[operation as usize].get_or_insert_with(|| Box::new(Count::new()));
        count.hits += u64::from(reply.hits);
        count.misses += u64::from(reply.misses);
        match &mut self.run {
            Some((of, latency, times)) if *of == operation && *latency == latency_ns => *times += 1,
            _ => {
                self.settle();
                self.run = Some((operation, latency_ns, 1));
            }
        }
    }

    /// Brings the histograms up to date. Do it before anybody looks at them.
    pub(crate) fn settle(&mut self) {
        if let Some((operation, latency, times)) = self.run.take() {
            let count = self.counts[operation as usize].get_or_insert_with(|| Box::new(Count::new()));
            count.histogram.saturating_record_n(latency, times);
        }
    }

    pub(crate) fn lag(&mut self, nanos: u64) {
        self.lag.get_or_insert_with(|| Box::new(new_histogram())).saturating_record(nanos);
    }

    pub(crate) fn lag_histogram(&self) -> Option<&Histogram<u64>> {
        self.lag.as_deref()
    }

    pub(crate) fn refused(&mut self) {
        self.errors.refused += 1;
    }

    pub(crate) fn wrong(&mut self, example: String) {
        self.errors.wrong += 1;
        self.example(example);
    }

    pub(crate) fn extra(&mut self, example: String) {
        self.errors.extra += 1;
        self.example(example);
    }

    pub(crate) fn lost(&mut self, replies: usize, example: String) {
        self.errors.lost += replies as u64;
        self.example(example);
    }

    pub(crate) fn disconnected(&mut self, replies: usize, why: &str) {
        self.errors.disconnects += 1;
        self.lost(replies, format!("{why} ({replies} replies were due)"));
    }

    fn example(&mut self, example: String) {
        // The same again shows nothing.
        if self.errors.examples.len() < EXAMPLES_MAX && !self.errors.examples.contains(&example) {
            self.errors.examples.push(example);
        }
    }

    pub(crate) fn merge(&mut self, other: &Tally) {
        debug_assert!(other.run.is_none(), "a tally is settled before it is merged");
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            let Some(theirs) = theirs else { continue };
            let ours = ours.get_or_insert_with(|| Box::new(Count::new()));
            ours.hits += theirs.hits;
            ours.misses += theirs.misses;
            ours.histogram += &theirs.histogram;
        }
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.due += other.due;
        if let Some(lag) = &other.lag {
            let ours = self.lag.get_or_insert_with(|| Box::new(new_histogram()));
            **ours += &**lag;
        }
        self.errors.wrong += other.errors.wrong;
        self.errors.extra += other.errors.extra;
        self.errors.lost += other.errors.lost;
        self.errors.disconnects += other.errors.disconnects;
        self.errors.refused += other.errors.refused;
        for example in &other.errors.examples {
            self.example(example.clone());
        }
    }

    /// All operations that had replies.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Operation, &Count)> {
        let all = Operation::ALL.into_iter().zip(&self.counts);
        all.filter_map(|(operation, count)| count.as_deref().map(|count| (operation, count)))
    }

    /// All latencies together.
    pub(crate) fn histogram(&self) -> Histogram<u64> {
        let mut all = new_histogram();
        self.counts().for_each(|(_, count)| all += &count.histogram);
        all
    }

    pub(crate) fn requests(&self) -> u64 {
        self.counts().map(|(_, count)| count.histogram.len()).sum()
    }

    /// Keys found and not found by retrievals.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        let retrievals = self.counts().filter(|(operation, _)| operation.is_retrieval());
        retrievals.fold((0, 0), |(hits, misses), (_, count)| (hits + count.hits, misses + count.misses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::keyspace::Family;
    use crate::workload::source::Request;
    use crate::workload::source::Then;

    fn reply(operation: Operation, hits: u32, misses: u32) -> Reply {
        let request = Request {
            operation,
            family: Family::Item,
            key: 0,
            version: 0,
            size: 0,
            ttl: 0,
            unique: 0,
            then: Then::Nothing,
        };
        Reply { request, at: 0, hits, misses, unique: 0, is_refused: false }
    }

    #[test]
    fn merged_tallies_are_the_tally_of_all() {
        // The same replies, counted by one and by three that are merged.
        let mut whole = Tally::default();
        let mut parts = [Tally::default(), Tally::default(), Tally::default()];
        for number in 0..30_000_u64 {
            let operation = if number % 3 == 0 { Operation::Set } else { Operation::Get };
            let reply = reply(operation, u32::from(number % 5 != 0), u32::from(number % 5 == 0));
            let latency = 1000 + number * number % 9_000_000;
            whole.reply(&reply, latency);
            parts[(number % 7 % 3) as usize].reply(&reply, latency);
        }
        whole.settle();
        let mut merged = Tally::default();
        for part in &mut parts {
            part.settle();
            merged.merge(part);
        }
        assert_eq!(merged.requests(), 30_000);
        assert_eq!(merged.hits_and_misses(), whole.hits_and_misses());
        assert_eq!(merged.histogram(), whole.histogram());
        for ((operation, ours), (same, theirs)) in merged.counts().zip(whole.counts()) {
            assert_eq!((operation, ours.hits, ours.misses), (same, theirs.hits, theirs.misses));
            assert_eq!(ours.histogram, theirs.histogram);
        }
    }

    #[test]
    fn replies_of_one_batch_all_count() {
        let mut tally = Tally::default();
        for latency in [5000, 5000, 5000, 7000, 5000] {
            tally.reply(&reply(Operation::Get, 1, 0), latency);
        }
        tally.settle();
        assert_eq!(tally.requests(), 5);
        let histogram = tally.histogram();
        assert_eq!((histogram.count_at(5000), histogram.count_at(7000)), (4, 1));
    }

    #[test]
    fn errors_keep_some_examples() {
        let mut tally = Tally::default();
        (0..100).for_each(|number| tally.wrong(format!("example {number}")));
        tally.disconnected(3, "closed");
        assert_eq!((tally.errors.wrong, tally.errors.lost, tally.errors.bad()), (100, 3, 104));
        assert_eq!(tally.errors.examples.len(), EXAMPLES_MAX);
    }
}
