//! A request changes a shard and writes its reply. Every change of a shard by a client passes through here, on the
//! shard's own core, whether the request was made there or came by letter.

use crate::metrics::Counters;
use crate::protocol::text::response;
use crate::protocol::{Op, Output, Retrieval};
use crate::store::{
    ArithmeticOutcome, ArithmeticRequest, Incoming, Item, Lookup, Shard, StoreOutcome, StoreRequest, Value,
};
use crate::terms::{Arithmetic, Deadline, Key, KeyHash, Now, StoreMode};

/// A shard with all that a request on it needs.
#[derive(Debug)]
pub struct Executor<'a> {
    /// The items.
    pub shard: &'a mut Shard,
    /// What is counted of the requests.
    pub counters: &'a mut Counters,
    /// The moment that decides about expiry.
    pub now: Now,
}

impl Executor<'_> {
    /// Runs one request and writes its whole reply to `out`. `hash` is what [`Shard::hash`] gives for `key`; `value` is
    /// empty except for storage requests.
    pub fn execute(&mut self, op: Op, key: Key<'_>, hash: KeyHash, value: Incoming<'_>, out: &mut Output) {
        match op {
            Op::Retrieve(retrieval) => {
                self.retrieve(retrieval, key, hash, out);
                out.put(response::END);
            }
            Op::Store { mode, flags, exptime } => {
                let deadline = Deadline::from_exptime(exptime, self.now);
                let request = StoreRequest::new(mode, key, hash, flags, deadline, value);
                let outcome = self.shard.store(request, self.now);
                out.put(self.stored(mode, outcome));
            }
            Op::RefuseTooLarge => {
                self.counters.store_too_large += 1;
                self.shard.refuse_too_large(key, hash, self.now);
                out.put(response::TOO_LARGE);
            }
            Op::Delete => {
                if self.shard.delete(key, hash, self.now) {
                    self.counters.delete_hits += 1;
                    out.put(response::DELETED);
                } else {
                    self.counters.delete_misses += 1;
                    out.put(response::NOT_FOUND);
                }
            }
            Op::Arithmetic { direction, delta } => {
                let request = ArithmeticRequest::new(key, hash, direction, delta);
                let outcome = self.shard.arithmetic(request, self.now);
                self.computed(direction, outcome, out);
            }
            Op::Touch { exptime } => {
                self.counters.cmd_touch += 1;
                if self.shard.touch(key, hash, Deadline::from_exptime(exptime, self.now), self.now) {
                    self.counters.touch_hits += 1;
                    out.put(response::TOUCHED);
                } else {
                    self.counters.touch_misses += 1;
                    out.put(response::NOT_FOUND);
                }
            }
        }
    }

    /// Looks up one key and writes its part of the reply: the value's line, the value and its end, or nothing.
    #[inline]
    pub fn retrieve(&mut self, retrieval: Retrieval, key: Key<'_>, hash: KeyHash, out: &mut Output) {
        let counters = &mut *self.counters;
        let (lookup, hits, misses) = match retrieval.touch {
            None => {
                counters.cmd_get += 1;
                (self.shard.get(key, hash, self.now), &mut counters.get_hits, &mut counters.get_misses)
            }
            Some(exptime) => {
                counters.cmd_touch += 1;
                let deadline = Deadline::from_exptime(exptime, self.now);
                let lookup = self.shard.get_and_touch(key, hash, deadline, self.now);
                (lookup, &mut counters.touch_hits, &mut counters.touch_misses)
            }
        };
        match lookup {
            Lookup::Hit(item) => {
                *hits += 1;
                write_item(key, &item, retrieval.with_cas, out);
                return;
            }
            Lookup::Miss => {}
            Lookup::Expired => counters.get_expired += 1,
            Lookup::Flushed => counters.get_flushed += 1,
        }
        *misses += 1;
    }

    /// Counts a storage request and gives its reply.
    fn stored(&mut self, mode: StoreMode, outcome: StoreOutcome) -> &'static [u8] {
        let counters = &mut *self.counters;
        counters.cmd_set += 1;
        if let StoreMode::Cas(_) = mode {
            match outcome {
                StoreOutcome::Stored { .. } => counters.cas_hits += 1,
                StoreOutcome::Exists => counters.cas_badval += 1,
                StoreOutcome::NotFound => counters.cas_misses += 1,
                _ => {}
            }
        }
        match outcome {
            StoreOutcome::Stored { .. } => response::STORED,
            StoreOutcome::NotStored => response::NOT_STORED,
            StoreOutcome::Exists => response::EXISTS,
            StoreOutcome::NotFound => response::NOT_FOUND,
            StoreOutcome::TooLarge => {
                counters.store_too_large += 1;
                match mode {
                    // As memcached answers, which keeps the old value too.
                    StoreMode::Append | StoreMode::Prepend => response::NOT_STORED,
                    _ => response::TOO_LARGE,
                }
            }
            StoreOutcome::OutOfMemory => {
                counters.store_no_memory += 1;
                response::OUT_OF_MEMORY
            }
        }
    }

    /// Counts an `incr` or `decr` and writes its reply.
    fn computed(&mut self, direction: Arithmetic, outcome: ArithmeticOutcome, out: &mut Output) {
        let counters = &mut *self.counters;
        let (hits, misses) = match direction {
            Arithmetic::Increment => (&mut counters.incr_hits, &mut counters.incr_misses),
            Arithmetic::Decrement => (&mut counters.decr_hits, &mut counters.decr_misses),
        };
        match outcome {
            ArithmeticOutcome::Value { number, .. } | ArithmeticOutcome::Created { number, .. } => {
                *hits += 1;
                out.write(|buffer| response::write_number(buffer, number));
            }
            // Neither a version nor a first value is asked for here, so there is always one of the other answers.
            ArithmeticOutcome::NotFound | ArithmeticOutcome::Exists => {
                *misses += 1;
                out.put(response::NOT_FOUND);
            }
            ArithmeticOutcome::NonNumeric => out.put(response::NON_NUMERIC),
            ArithmeticOutcome::OutOfMemory => {
                counters.store_no_memory += 1;
                out.put(response::OUT_OF_MEMORY);
            }
        }
    }
}

#[inline]
fn write_item(key: Key<'_>, item: &Item<'_>, with_cas: bool, out: &mut Output) {
    let cas = with_cas.then_some(item.cas);
    match item.value {
        Value::Inline(value) => out.write(|buffer| {
            response::write_value_line(buffer, key, item.flags, value.len(), cas);
            buffer.extend_from_slice(value);
            buffer.extend_from_slice(response::CRLF);
        }),
        Value::Shared(value) => {
            out.write(|buffer| response::write_value_line(buffer, key, item.flags, value.len(), cas));
            out.put_shared(value.clone());
            out.put(response::CRLF);
        }
    }
}
