//! The sequence of requests that one worker sends.

use std::sync::Arc;

use crate::workload::Operation;
use crate::workload::access::Access;
use crate::workload::distribution::Ttls;
use crate::workload::keyspace::{Family, Keyspace};
use crate::workload::mix::Mix;
use crate::workload::plan::Trace;
use crate::workload::random::{Draw, Random};

/// One request, in no dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) family: Family,
    /// The key's number; the first of a multi-get.
    pub(crate) key: u64,
    /// Of the value to store.
    pub(crate) version: u32,
    /// Bytes of the value to store, now or after a miss.
    pub(crate) size: usize,
    /// Seconds; 0 is for ever.
    pub(crate) ttl: u32,
    /// What a `cas` compares.
    pub(crate) unique: u64,
    pub(crate) then: Then,
}

/// What follows from the reply to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    /// If there is no such key, its value is stored.
    Fill,
    /// If there is one, its value is swapped for a new one.
    Swap,
}

/// What a mixed run draws from.
pub(crate) struct Drawn {
    pub(crate) mix: Mix,
    pub(crate) access: Access,
    pub(crate) multiget: usize,
}

/// Where requests come from.
pub(crate) struct Source {
    kind: Kind,
    ttls: Ttls,
    fixed_ttl: Option<u32>,
    random: Random,
    version: u32,
    version_step: u32,
    /// Whether what a retrieval does not find is stored.
    pub(crate) fills: bool,
}

enum Kind {
    /// Store these keys, each once.
    Load { next: u64, end: u64 },
    /// Get keys below `count` at random, so many times.
    Check { count: u64, left: u64 },
    /// Draw operations and keys, so many times.
    Mixed { drawn: Box<Drawn>, left: u64 },
    /// The records of a trace whose keys are this worker's, so many of them, in order.
    Replay { trace: Arc<Trace>, next: usize, worker: u32, workers: u32, left: u64 },
}

/// Which of how many workers: what they draw and store differs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) worker: u32,
    pub(crate) workers: u32,
}

impl Share {
    /// This worker's part of `count` things in a row.
    pub(crate) fn range(self, count: u64) -> (u64, u64) {
        let at = |worker: u32| {
            let product = u128::from(count) * u128::from(worker) / u128::from(self.workers.max(1));
            u64::try_from(product).unwrap_or(count)
        };
        (at(self.worker), at(self.worker + 1))
    }
}

impl Source {
    fn new(kind: Kind, ttls: Ttls, seed: u64, share: Share) -> Source {
        let (least, greatest) = ttls.bounds();
        let fixed_ttl = (least == greatest).then(|| u32::try_from(greatest).unwrap_or(u32::MAX));
        // Each worker draws its own sequence, and the same one again for the same seed.
        let random = Random::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(share.worker.into()));
        Source { kind, ttls, fixed_ttl, random, version: share.worker, version_step: share.workers, fills: false }
    }

    pub(crate) fn load(count: u64, ttls: Ttls, seed: u64, share: Share) -> Source {
        let (next, end) = share.range(count);
        let mut source = Source::new(Kind::Load { next, end }, ttls, seed, share);
        (source.version, source.version_step) = (0, 0);
        source
    }

    pub(crate) fn check(count: u64, samples: u64, ttls: Ttls, seed: u64, share: Share) -> Source {
        let (first, end) = share.range(samples);
        Source::new(Kind::Check { count, left: end - first }, ttls, seed, share)
    }

    pub(crate) fn mixed(drawn: Drawn, requests: u64, ttls: Ttls, seed: u64, share: Share) -> Source {
        let (first, end) = share.range(requests);
        Source::new(Kind::Mixed { drawn: Box::new(drawn), left: end - first }, ttls, seed, share)
    }

    pub(crate) fn replay(trace: Arc<Trace>, requests: u64, ttls: Ttls, seed: u64, share: Share) -> Source {
        let (first, end) = share.range(requests);
        let (worker, workers) = (share.worker, share.workers);
        let mut source =
            Source::new(Kind::Replay { trace, next: 0, worker, workers, left: end - first }, ttls, seed, share);
        source.skip_others();
        source
    }

    /// The next request; a multi-get's keys go into `keys`. `None` at the end.
    pub(crate) fn next(&mut self, keyspace: &Keyspace, keys: &mut Vec<u64>) -> Option<Request> {
        let (operation, key, recorded) = match &mut self.kind {
            Kind::Load { next, end } => {
                if next == end {
                    return None;
                }
                *next += 1;
                (Operation::Set, *next - 1, None)
            }
            Kind::Check { count, left } => {
                *left = left.checked_sub(1)?;
                (Operation::Get, self.random.below(*count), None)
            }
            Kind::Mixed { drawn, left } => {
                *left = left.checked_sub(1)?;
                let Drawn { mix, access, multiget } = &mut **drawn;
                let operation = mix.next(&mut self.random);
                let key = access.next(&mut self.random);
                if operation == Operation::MultiGet {
                    keys.clear();
                    keys.push(key);
                    keys.extend((1..*multiget).map(|_| access.next(&mut self.random)));
                }
                (operation, key, None)
            }
            Kind::Replay { trace, next, left, .. } => {
                let record = *trace.records.get(*next)?;
                *left = left.checked_sub(1)?;
                *next += 1;
                self.skip_others();
                if record.operation == Operation::MultiGet {
                    keys.clear();
                    keys.push(record.key.into());
                }
                (record.operation, record.key.into(), Some((record.value_size, record.ttl)))
            }
        };
        Some(self.request(operation, key, recorded, keyspace))
    }

    /// When the next request is due, in nanoseconds since the begin: known of a trace only.
    pub(crate) fn due(&self) -> Option<u64> {
        let Kind::Replay { trace, next, left: 1.., .. } = &self.kind else { return None };
        trace.records.get(*next).map(|record| record.at_us * 1000)
    }

    /// What stores the value that a request did not find.
    pub(crate) fn fill(&mut self, missed: Request, keyspace: &Keyspace) -> Request {
        let request = self.request(Operation::Fill, missed.key, None, keyspace);
        // The sizes of a trace are those of its records.
        let size = keyspace.expected_len(missed.key).unwrap_or(missed.size);
        Request { family: missed.family, size, ..request }
    }

    /// What stores a new value if nobody else has since this `gets`.
    pub(crate) fn swap(&mut self, got: Request, unique: u64, keyspace: &Keyspace) -> Request {
        let request = self.request(Operation::Set, got.key, None, keyspace);
        Request { operation: Operation::Cas, unique, size: got.size, ..request }
    }

    fn request(
        &mut self,
        operation: Operation,
        key: u64,
        recorded: Option<(u32, u32)>,
        keyspace: &Keyspace,
    ) -> Request {
        let (operation, then) = match operation {
            Operation::Cas => (Operation::Gets, Then::Swap),
            Operation::Incr | Operation::Append => (operation, Then::Fill),
            _ if operation.is_retrieval() && self.fills => (operation, Then::Fill),
            _ => (operation, Then::Nothing),
        };
        let family = match operation {
            Operation::Incr if keyspace.has_families() => Family::Counter,
            Operation::Append if keyspace.has_families() => Family::Log,
            _ => Family::Item,
        };
        let (size, ttl) = match (recorded, self.fixed_ttl) {
            (Some((size, ttl)), _) => (size as usize, ttl),
            (None, Some(ttl)) => (keyspace.value_len(key), ttl),
            (None, None) => {
                let ttl = u32::try_from(self.ttls.draw(&mut self.random)).unwrap_or(u32::MAX);
                (keyspace.value_len(key), ttl)
            }
        };
        self.version = self.version.wrapping_add(self.version_step);
        Request { operation, family, key, version: self.version, size, ttl, unique: 0, then }
    }

    /// Goes to the next record of a trace whose key is this worker's, so that each key keeps its order.
    fn skip_others(&mut self) {
        if let Kind::Replay { trace, next, worker, workers, .. } = &mut self.kind {
            let is_other = |record: &&crate::workload::plan::TraceRecord| record.key % *workers != *worker;
            *next += trace.records[*next..].iter().take_while(is_other).count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::plan::TraceRecord;

    fn keyspace() -> Keyspace {
        Keyspace::numbered(100, 8, "10".parse().unwrap()).unwrap()
    }

    fn all(mut source: Source) -> Vec<Request> {
        let (keyspace, mut keys) = (keyspace(), Vec::new());
        std::iter::from_fn(|| source.next(&keyspace, &mut keys)).collect()
    }

    #[test]
    fn loading_stores_each_key_once_whatever_the_number_of_workers() {
        let mut loaded = Vec::new();
        for worker in 0..3 {
            let share = Share { worker, workers: 3 };
            loaded.extend(all(Source::load(100, "0".parse().unwrap(), 1, share)).iter().map(|request| request.key));
        }
        assert_eq!(loaded, (0..100).collect::<Vec<_>>());
        assert_eq!(all(Source::check(100, 1000, "0".parse().unwrap(), 1, Share { worker: 1, workers: 3 })).len(), 333);
    }

    #[test]
    fn a_mixed_run_repeats_by_its_seed_and_ends_after_its_requests() {
        let run = |seed, worker| {
            let share = Share { worker, workers: 2 };
            let access = Access::new("uniform".parse().unwrap(), 100, worker.into(), 2);
            let drawn = Drawn { mix: "get:1,set:1".parse().unwrap(), access, multiget: 1 };
            all(Source::mixed(drawn, 500, "10-20".parse().unwrap(), seed, share))
        };
        assert_eq!(run(1, 0).len(), 250);
        assert_eq!(run(1, 0), run(1, 0));
        assert_ne!(run(1, 0), run(2, 0));
        assert_ne!(run(1, 0), run(1, 1));
        // Two workers never store the same version of a key.
        assert!(run(1, 0).iter().all(|ours| run(1, 1).iter().all(|theirs| ours.version != theirs.version)));
    }

    #[test]
    fn a_replay_keeps_the_order_of_each_key() {
        let record = |at_us, key, operation| TraceRecord { at_us, key, operation, value_size: 7, ttl: 9 };
        let trace = Arc::new(Trace {
            keys: (0..3).map(|number: u8| Box::from([b'a' + number])).collect(),
            records: vec![
                record(0, 1, Operation::Get),
                record(5, 0, Operation::Set),
                record(6, 1, Operation::Set),
                record(9, 2, Operation::Get),
            ],
        });
        let share = |worker| Share { worker, workers: 2 };
        let mut odd = Source::replay(Arc::clone(&trace), u64::MAX, "0".parse().unwrap(), 1, share(1));
        assert_eq!(odd.due(), Some(0));
        let first = odd.next(&keyspace(), &mut Vec::new()).unwrap();
        assert_eq!((first.key, first.size, first.ttl), (1, 7, 9));
        assert_eq!(odd.due(), Some(6000));
        let rest: Vec<_> = all(odd).iter().map(|request| (request.key, request.operation)).collect();
        assert_eq!(rest, [(1, Operation::Set)]);
        let even = all(Source::replay(trace, u64::MAX, "0".parse().unwrap(), 1, share(0)));
        assert_eq!(even.iter().map(|request| request.key).collect::<Vec<_>>(), [0, 2]);
    }
}
