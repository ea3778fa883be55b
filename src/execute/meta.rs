//! What meta requests do and answer (PROTOCOL §4). The owner of the key alone decides who wins and which version an
//! item gets.
//!
//! Effects of flags take place in the order of the flags, and so a `t` shows the time as it is at its place.

use super::observe::{Event, GetStatus};
use super::{Executor, command_of};
use crate::protocol::Output;
use crate::protocol::meta::response::{self, Code};
use crate::protocol::meta::{FlagSet, MetaFlags, Verb};
use crate::protocol::text::response::{CRLF, NON_NUMERIC, OUT_OF_MEMORY, TOO_LARGE};
use crate::store::{
    ArithmeticOutcome, ArithmeticRequest, Change, Found, Incoming, Item, Marks, NewCas, Search, Sought, StoreOutcome,
    StoreRequest, Value,
};
use crate::terms::{Arithmetic, CasUnique, Deadline, Exptime, Flags, Key, KeyHash, Now, StoreMode};

/// A meta request at its owner.
#[derive(Clone, Copy, Debug)]
pub struct MetaCall<'a> {
    /// Which.
    pub verb: Verb,
    /// Its flags.
    pub flags: MetaFlags<'a>,
    /// Its key, decoded.
    pub key: Key<'a>,
    /// What [`Shard::hash`](crate::store::Shard::hash) gives for the key.
    pub hash: KeyHash,
}

/// How an item stood before the request.
#[derive(Clone, Copy, Debug)]
struct Before {
    deadline: Deadline,
    fetched: bool,
    idle_s: u32,
    /// A win had been handed out (`Z`).
    won: bool,
    /// Made by this request.
    is_new: bool,
}

/// Before it was made by this request.
const NEW: Before = Before { deadline: Deadline::NEVER, fetched: false, idle_s: 0, won: false, is_new: true };

impl Before {
    fn of(item: &Item<'_>, is_new: bool) -> Self {
        Self {
            // A new item has no time until a flag gives it one.
            deadline: if is_new { Deadline::NEVER } else { item.deadline },
            fetched: item.fetched,
            idle_s: item.idle_s,
            won: item.marks.won,
            is_new,
        }
    }
}

/// What a watcher is told of a hit.
fn hit_event<'a>(key: Key<'a>, item: &Item<'_>) -> Event<'a> {
    Event::Get { key, status: GetStatus::Found, class: item.class, size: item.value.len() }
}

/// The flags that may change an item or its marks.
const CHANGING: FlagSet = FlagSet::of(b"TNR");
/// The flags of `mg` that show something in its reply, the value apart.
const SHOWING: FlagSet = FlagSet::of(b"tcfshlkO");

impl Executor<'_> {
    /// Runs one meta request and writes its whole reply to `out`, which may be nothing for a quiet one. `value` is
    /// empty except for `ms`.
    #[inline]
    pub fn meta(&mut self, call: MetaCall<'_>, value: Incoming<'_>, out: &mut Output) {
        match call.verb {
            Verb::Get => self.meta_get(&call, call.hash.into(), out),
            Verb::Set => self.meta_set(&call, value, out),
            Verb::Delete => self.meta_delete(&call, out),
            Verb::Arithmetic => self.meta_arithmetic(&call, out),
            Verb::Debug => self.meta_debug(&call, out),
        }
    }

    /// Runs an `mg` whose key may have been looked at ahead.
    #[inline]
    pub fn meta_get(&mut self, call: &MetaCall<'_>, sought: Sought, out: &mut Output) {
        let is_touch = call.flags.has(b'T');
        let search = self.shard.find_sought(call.key, sought, self.now);
        let is_hit = matches!(search, Search::Hit(_));
        self.count_get(is_touch, is_hit || call.flags.has(b'N'));
        match search {
            Search::Hit(found) => return self.meta_hit(call, found, false, out),
            Search::Miss => self.observe_miss(call.key, GetStatus::NotFound),
            Search::Expired => {
                self.counters.get_expired += 1;
                self.observe_miss(call.key, GetStatus::Expired);
            }
            Search::Flushed => {
                self.counters.get_flushed += 1;
                self.observe_miss(call.key, GetStatus::Flushed);
            }
        }
        if call.flags.has(b'N') {
            self.vivify(call, out);
        } else if !call.flags.has(b'q') {
            out.write(|buffer| response::write_short(buffer, Code::Miss, call.flags, call.key));
        }
    }

    fn count_get(&mut self, is_touch: bool, is_hit: bool) {
        let counters = &mut *self.counters;
        let (all, hits, misses) = if is_touch {
            (&mut counters.cmd_touch, &mut counters.touch_hits, &mut counters.touch_misses)
        } else {
            (&mut counters.cmd_get, &mut counters.get_hits, &mut counters.get_misses)
        };
        *all += 1;
        *(if is_hit { hits } else { misses }) += 1;
    }

    /// Makes the item that was not there, and answers as if it had been.
    fn vivify(&mut self, call: &MetaCall<'_>, out: &mut Output) {
        let deadline = self.deadline(call.flags.exptime(b'N'));
        let mut request =
            StoreRequest::new(StoreMode::Add, call.key, call.hash, Flags(0), deadline, Incoming::Slice(&[]));
        request.cas = call.flags.cas(b'E');
        request.key_is_binary = call.flags.has(b'b');
        let stored = self.shard.store(request, self.now);
        match (stored, self.shard.find(call.key, call.hash, self.now)) {
            (StoreOutcome::Stored { .. }, Search::Hit(found)) => self.meta_hit(call, found, true, out),
            // A vivified item may be over at once: it is shown all the same, and to this client only.
            (StoreOutcome::Stored { cas, .. }, _) => {
                let marks = Marks { won: true, key_is_binary: call.flags.has(b'b'), ..Marks::default() };
                let item = Item {
                    value: Value::Inline(&[]),
                    flags: Flags(0),
                    cas,
                    deadline,
                    marks,
                    fetched: false,
                    idle_s: 0,
                    class: 0,
                    size: 0,
                };
                write_hit(call, &item, NEW, true, self.now, out);
            }
            _ => {
                self.counters.store_no_memory += 1;
                out.put(OUT_OF_MEMORY);
            }
        }
    }

    /// Answers from an item that is there: decides whether this client wins, changes what the flags say, writes.
    #[inline]
    fn meta_hit(&mut self, call: &MetaCall<'_>, found: Found, is_new: bool, out: &mut Output) {
        let Self { shard, now, observer, .. } = self;
        // Most change nothing and win nothing: then one look at the item is enough.
        if !is_new
            && !call.flags.set().has_any_of(CHANGING)
            && let Some(item) = shard.use_fresh(found, call.flags.has(b'u'), *now)
        {
            if let Some(observer) = observer {
                observer.observe(&hit_event(call.key, &item), *now);
            }
            return write_hit(call, &item, Before::of(&item, false), false, *now, out);
        }
        self.meta_change(call, found, is_new, out);
    }

    /// The same for an item that may be changed by this.
    fn meta_change(&mut self, call: &MetaCall<'_>, found: Found, is_new: bool, out: &mut Output) {
        let item = self.shard.item(found, self.now);
        let present = item.deadline;
        let before = Before::of(&item, is_new);
        let mut found = found;
        let mut wins = false;
        if item.marks.stale || call.flags.set().has_any_of(CHANGING) {
            let marks = item.marks;
            let (deadline, is_recache) = self.effects(call.flags, before);
            wins = !marks.won && (marks.stale || is_new || is_recache);
            let change = Change {
                deadline: (deadline != present).then_some(deadline),
                marks: wins.then_some(Marks { won: true, ..marks }),
                ..Change::default()
            };
            if change != Change::default() {
                match self.shard.change(found, change, self.now) {
                    Ok(there) => found = there,
                    Err(_) => return self.meta_out_of_memory(out),
                }
            }
        }
        if !call.flags.has(b'u') {
            self.shard.mark_used(found, self.now);
        }
        let item = self.shard.item(found, self.now);
        if let Some(observer) = &mut self.observer {
            observer.observe(&hit_event(call.key, &item), self.now);
        }
        write_hit(call, &item, before, wins, self.now, out);
    }

    /// The deadline after all flags have had their effect, and whether one of them found too little time left.
    fn effects(&self, flags: MetaFlags<'_>, before: Before) -> (Deadline, bool) {
        let mut deadline = before.deadline;
        let mut is_recache = false;
        for flag in flags.iter() {
            match flag.letter {
                b'T' => deadline = self.deadline(flags.exptime(b'T')),
                b'N' if before.is_new => deadline = self.deadline(flags.exptime(b'N')),
                b'R' if !before.is_new => {
                    let refresh = self.deadline(flags.exptime(b'R'));
                    is_recache = refresh != Deadline::NEVER && deadline < refresh;
                }
                _ => {}
            }
        }
        (deadline, is_recache)
    }

    fn deadline(&self, exptime: Option<Exptime>) -> Deadline {
        exptime.map_or(Deadline::NEVER, |exptime| Deadline::from_exptime(exptime, self.now))
    }

    fn meta_set(&mut self, call: &MetaCall<'_>, value: Incoming<'_>, out: &mut Output) {
        let flags = call.flags;
        let mode = flags.store_mode();
        let sent_len = value.as_slice().len();
        let mut request = StoreRequest::new(
            mode,
            call.key,
            call.hash,
            flags.client_flags().unwrap_or_default(),
            self.deadline(flags.exptime(b'T')),
            value,
        );
        request.compare = flags.cas(b'C').filter(|_| mode != StoreMode::Add);
        request.cas = flags.cas(b'E');
        request.stale_if_older = flags.has(b'I');
        request.vivify = flags.exptime(b'N').map(|exptime| Deadline::from_exptime(exptime, self.now));
        request.key_is_binary = flags.has(b'b');
        let is_cas = request.compare.is_some();
        let sent = (request.deadline, sent_len);
        let outcome = self.shard.store(request, self.now);
        let command = if is_cas && matches!(mode, StoreMode::Set) { "cas" } else { command_of(mode) };
        self.observe_store(command, call.key, call.hash, outcome, sent);
        self.count_store(is_cas, outcome);
        let joins = matches!(mode, StoreMode::Append | StoreMode::Prepend);
        let (code, cas, len) = match outcome {
            StoreOutcome::Stored { .. } if flags.has(b'q') => return,
            StoreOutcome::Stored { cas, len } => (Code::Done, cas, len),
            StoreOutcome::NotStored => (Code::NotStored, CasUnique(0), sent_len),
            StoreOutcome::Exists => (Code::Exists, CasUnique(0), sent_len),
            StoreOutcome::NotFound => (Code::NotFound, CasUnique(0), sent_len),
            // As memcached answers, which keeps the old value too.
            StoreOutcome::TooLarge if joins => (Code::NotStored, CasUnique(0), sent_len),
            // Whatever the mode, the client believes the old value replaced (PROTOCOL §2).
            StoreOutcome::TooLarge => {
                self.shard.refuse_value(call.key, call.hash, self.now);
                return out.put(TOO_LARGE);
            }
            StoreOutcome::OutOfMemory => {
                self.shard.refuse_value(call.key, call.hash, self.now);
                return out.put(OUT_OF_MEMORY);
            }
        };
        out.write(|buffer| {
            response::write_code(buffer, code);
            for flag in flags.iter() {
                match flag.letter {
                    b'k' => response::write_key(buffer, call.key, flags.has(b'b')),
                    b'O' => response::write_echo(buffer, flag),
                    b'c' => response::write_cas(buffer, cas),
                    b's' => response::write_flag_number(buffer, b's', len as u64),
                    _ => {}
                }
            }
            buffer.extend_from_slice(CRLF);
        });
    }

    fn meta_delete(&mut self, call: &MetaCall<'_>, out: &mut Output) {
        let flags = call.flags;
        let Search::Hit(found) = self.shard.find(call.key, call.hash, self.now) else {
            self.counters.delete_misses += 1;
            self.observe_delete("md", call.key, false, (0, 0));
            return out.write(|buffer| response::write_short(buffer, Code::NotFound, flags, call.key));
        };
        let Item { cas, marks, class, value, .. } = self.shard.item(found, self.now);
        let before = (class, value.len());
        if flags.cas(b'C').is_some_and(|wanted| wanted != cas) {
            self.counters.delete_misses += 1;
            return out.write(|buffer| response::write_short(buffer, Code::Exists, flags, call.key));
        }
        if flags.has(b'I') || flags.has(b'x') {
            if self.shard.change(found, self.invalidation(flags, marks), self.now).is_err() {
                return self.meta_out_of_memory(out);
            }
        } else {
            self.shard.remove(found);
            self.observe_delete("md", call.key, true, before);
        }
        self.counters.delete_hits += 1;
        if !flags.has(b'q') {
            out.write(|buffer| response::write_short(buffer, Code::Done, flags, call.key));
        }
    }

    /// What `md` with `I`, `x` or both makes of an item.
    fn invalidation(&self, flags: MetaFlags<'_>, marks: Marks) -> Change {
        let (stales, clears) = (flags.has(b'I'), flags.has(b'x'));
        let given = flags.exptime(b'T').map(|exptime| Deadline::from_exptime(exptime, self.now));
        Change {
            // Whoever empties an item takes its time off too, or gives it a new one.
            deadline: if clears { Some(given.unwrap_or(Deadline::NEVER)) } else { given },
            marks: Some(Marks { stale: stales, won: false, ..marks }),
            flags: clears.then(|| flags.client_flags().unwrap_or_default()),
            clear_value: clears,
            cas: match flags.cas(b'E') {
                Some(chosen) => NewCas::Explicit(chosen),
                None if stales => NewCas::Next,
                None => NewCas::Keep,
            },
        }
    }

    fn meta_arithmetic(&mut self, call: &MetaCall<'_>, out: &mut Output) {
        let flags = call.flags;
        let direction = flags.direction();
        let mut request = ArithmeticRequest::new(call.key, call.hash, direction, flags.number(b'D').unwrap_or(1));
        // 0 compares with nothing here.
        request.compare = flags.cas(b'C').filter(|&wanted| wanted != CasUnique(0));
        request.cas = flags.cas(b'E');
        request.key_is_binary = flags.has(b'b');
        request.create = flags.has(b'N').then(|| (flags.number(b'J').unwrap_or(0), self.effects(flags, NEW).0));
        // What a `t` before the `T` shows must be known before it changes.
        let mut deadline_before = None;
        if let Some(exptime) = flags.exptime(b'T') {
            request.deadline = Some(Deadline::from_exptime(exptime, self.now));
            if flags.has(b't')
                && let Search::Hit(found) = self.shard.find(call.key, call.hash, self.now)
            {
                deadline_before = Some(self.shard.item(found, self.now).deadline);
            }
        }
        let outcome = self.shard.arithmetic(request, self.now);
        let (number, cas, before) = match outcome {
            ArithmeticOutcome::Value { number, cas, deadline } => {
                *self.arithmetic_counters(direction).0 += 1;
                let deadline = deadline_before.unwrap_or(deadline);
                (number, cas, Before { deadline, is_new: false, ..NEW })
            }
            ArithmeticOutcome::Created { number, cas, .. } => (number, cas, NEW),
            ArithmeticOutcome::NotFound => {
                *self.arithmetic_counters(direction).1 += 1;
                return out.write(|buffer| response::write_short(buffer, Code::NotFound, flags, call.key));
            }
            ArithmeticOutcome::Exists => {
                return out.write(|buffer| response::write_short(buffer, Code::Exists, flags, call.key));
            }
            ArithmeticOutcome::NonNumeric => return out.put(NON_NUMERIC),
            ArithmeticOutcome::OutOfMemory => return self.meta_out_of_memory(out),
        };
        if !flags.has(b'q') {
            self.write_number(call, number, cas, before, out);
        }
    }

    fn write_number(&self, call: &MetaCall<'_>, number: u64, cas: CasUnique, before: Before, out: &mut Output) {
        let (flags, now) = (call.flags, self.now);
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        let shows_value = flags.has(b'v');
        let mut deadline = before.deadline;
        out.write(|buffer| {
            response::write_code(buffer, if shows_value { Code::Value(digits.len()) } else { Code::Done });
            for flag in flags.iter() {
                match flag.letter {
                    b't' => response::write_time_left(buffer, deadline, now),
                    b'T' => deadline = self.deadline(flags.exptime(b'T')),
                    b'N' if before.is_new => deadline = self.deadline(flags.exptime(b'N')),
                    b'c' => response::write_cas(buffer, cas),
                    b'k' => response::write_key(buffer, call.key, flags.has(b'b')),
                    b'O' => response::write_echo(buffer, flag),
                    _ => {}
                }
            }
            buffer.extend_from_slice(CRLF);
            if shows_value {
                buffer.extend_from_slice(digits);
                buffer.extend_from_slice(CRLF);
            }
        });
    }

    fn meta_debug(&mut self, call: &MetaCall<'_>, out: &mut Output) {
        self.counters.cmd_meta += 1;
        let Search::Hit(found) = self.shard.find(call.key, call.hash, self.now) else {
            return out.put(b"EN\r\n");
        };
        let item = self.shard.item(found, self.now);
        let now = self.now;
        out.write(|buffer| response::write_debug(buffer, call.key, &item_facts(&item), now));
    }

    fn meta_out_of_memory(&mut self, out: &mut Output) {
        self.counters.store_no_memory += 1;
        out.put(OUT_OF_MEMORY);
    }

    /// Hits and misses of `incr` or of `decr`.
    pub(super) const fn arithmetic_counters(&mut self, direction: Arithmetic) -> (&mut u64, &mut u64) {
        let counters = &mut *self.counters;
        match direction {
            Arithmetic::Increment => (&mut counters.incr_hits, &mut counters.incr_misses),
            Arithmetic::Decrement => (&mut counters.decr_hits, &mut counters.decr_misses),
        }
    }
}

/// What `me` and the dumps tell of an item.
pub fn item_facts(item: &Item<'_>) -> response::ItemFacts {
    response::ItemFacts {
        deadline: item.deadline,
        idle_s: item.idle_s,
        cas: item.cas,
        fetched: item.fetched,
        class: item.class,
        size: item.size,
        flags: item.flags,
        key_is_binary: item.marks.key_is_binary,
    }
}

/// Writes a hit of `mg`: the code, what the flags ask for in their order, `Z`, `X`, `W`, and the value.
#[inline]
fn write_hit(call: &MetaCall<'_>, item: &Item<'_>, before: Before, wins: bool, now: Now, out: &mut Output) {
    let flags = call.flags;
    // A client that has this version already needs no value.
    let shows_value = flags.has(b'v') && (!flags.has(b'C') || flags.cas(b'C') != Some(item.cas));
    out.write(|buffer| {
        let len = item.value.len();
        response::write_code(buffer, if shows_value { Code::Value(len) } else { Code::Done });
        if flags.set().has_any_of(SHOWING) {
            write_hit_flags(call, item, before, now, buffer);
        }
        for (mark, is_set) in [(b" Z", before.won), (b" X", item.marks.stale), (b" W", wins)] {
            if is_set {
                buffer.extend_from_slice(mark);
            }
        }
        buffer.extend_from_slice(CRLF);
        if shows_value && let Value::Inline(value) = item.value {
            buffer.extend_from_slice(value);
            buffer.extend_from_slice(CRLF);
        }
    });
    if shows_value && let Value::Shared(value) = item.value {
        out.put_shared(value.clone());
        out.put(CRLF);
    }
}

/// Writes what the flags of an `mg` ask for.
fn write_hit_flags(call: &MetaCall<'_>, item: &Item<'_>, before: Before, now: Now, buffer: &mut Vec<u8>) {
    let flags = call.flags;
    let mut deadline = before.deadline;
    for flag in flags.iter() {
        match flag.letter {
            b't' => response::write_time_left(buffer, deadline, now),
            b'T' => deadline = deadline_of(flags, b'T', now),
            b'N' if before.is_new => deadline = deadline_of(flags, b'N', now),
            b'c' => response::write_cas(buffer, item.cas),
            b'f' => response::write_client_flags(buffer, item.flags),
            b's' => response::write_flag_number(buffer, b's', item.value.len() as u64),
            b'h' => response::write_flag_number(buffer, b'h', u64::from(before.fetched)),
            b'l' => response::write_flag_number(buffer, b'l', u64::from(before.idle_s)),
            b'k' => response::write_key(buffer, call.key, item.marks.key_is_binary),
            b'O' => response::write_echo(buffer, flag),
            _ => {}
        }
    }
}

fn deadline_of(flags: MetaFlags<'_>, letter: u8, now: Now) -> Deadline {
    flags.exptime(letter).map_or(Deadline::NEVER, |exptime| Deadline::from_exptime(exptime, now))
}
