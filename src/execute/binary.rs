//! Packets of the binary dialect on a shard (PROTOCOL §7).

use super::{Deleted, Executor, count_unstorable};
use crate::protocol::binary::request::{Command, ItemRequest};
use crate::protocol::binary::{Status, Tag, Verb, response};
use crate::protocol::{Output, Unstorable};
use crate::store::{ArithmeticOutcome, ArithmeticRequest, Incoming, Item, StoreOutcome, StoreRequest, Value};
use crate::terms::{CasUnique, Deadline, Flags, Key, KeyHash, StoreMode};

impl Executor<'_> {
    /// Runs one packet and writes its response, unless it is quiet about what came of it.
    pub fn packet(
        &mut self,
        request: &ItemRequest,
        key: Key<'_>,
        hash: KeyHash,
        value: Incoming<'_>,
        out: &mut Output,
    ) {
        let ItemRequest { tag, opcode, compare, .. } = *request;
        let done = match request.command {
            Command::Retrieve { touch } => {
                let shown_key = if matches!(opcode.verb, Verb::GetK | Verb::GatK) { key.as_bytes() } else { b"" };
                let show = |item: &Item<'_>| write_hit(tag, opcode.verb, shown_key, item, out);
                if !self.look_up(touch, key, hash.into(), show) && !opcode.quiet {
                    out.write(|buffer| response::write_miss(buffer, tag, shown_key));
                }
                return;
            }
            Command::Store { mode, .. } | Command::Join(mode) if request.unstorable.is_some() => {
                let replaces = mode == StoreMode::Set && compare.is_none();
                Err(self.refuse_packet_value(request.unstorable, replaces, key, hash))
            }
            Command::Store { mode, flags, exptime } => {
                // Whatever the opcode, with a version it is a compare and swap.
                let mode = compare.map_or(mode, StoreMode::Cas);
                let deadline = Deadline::from_exptime(exptime, self.now);
                stored(mode, self.store(StoreRequest::new(mode, key, hash, flags, deadline, value)))
            }
            Command::Join(mode) => {
                let request = StoreRequest::new(mode, key, hash, Flags(0), Deadline::NEVER, value);
                stored(mode, self.store(StoreRequest { compare, ..request }))
            }
            Command::Delete => match self.delete(key, hash, compare) {
                Deleted::Done => Ok(CasUnique(0)),
                Deleted::NotFound => Err(Status::NotFound),
                Deleted::Exists => Err(Status::Exists),
            },
            Command::Arithmetic { direction, delta, create } => {
                let request = ArithmeticRequest::new(key, hash, direction, delta);
                let create = create.map(|(initial, exptime)| (initial, Deadline::from_exptime(exptime, self.now)));
                match self.compute(ArithmeticRequest { compare, create, ..request }) {
                    ArithmeticOutcome::Value { number, cas, .. } | ArithmeticOutcome::Created { number, cas, .. } => {
                        if !opcode.quiet {
                            out.write(|buffer| response::write_done(buffer, tag, cas, &number.to_be_bytes()));
                        }
                        return;
                    }
                    ArithmeticOutcome::NotFound => Err(Status::NotFound),
                    ArithmeticOutcome::Exists => Err(Status::Exists),
                    ArithmeticOutcome::NonNumeric => Err(Status::NonNumeric),
                    ArithmeticOutcome::OutOfMemory => Err(Status::OutOfMemory),
                }
            }
            // Those without an item never come here; whoever sent one is told that it is not one.
            Command::Flush(_)
            | Command::Noop
            | Command::Version
            | Command::Stat
            | Command::Quit
            | Command::SaslList
            | Command::SaslAuth
            | Command::SaslStep => Err(Status::Unknown),
        };
        match done {
            Ok(_) if opcode.quiet => {}
            Ok(cas) => out.write(|buffer| response::write_done(buffer, tag, cas, b"")),
            Err(status) => out.write(|buffer| response::write_error(buffer, tag, status)),
        }
    }

    /// What a packet is answered whose value was not kept. Only a plain `Set` takes the old item with it.
    fn refuse_packet_value(&mut self, why: Option<Unstorable>, replaces: bool, key: Key<'_>, hash: KeyHash) -> Status {
        let why = why.unwrap_or(Unstorable::TooLarge);
        if replaces {
            self.refuse_value(why, key, hash);
        } else {
            count_unstorable(self.counters, why);
        }
        match why {
            Unstorable::TooLarge => Status::TooLarge,
            Unstorable::OutOfMemory => Status::OutOfMemory,
        }
    }
}

fn stored(mode: StoreMode, outcome: StoreOutcome) -> Result<CasUnique, Status> {
    match outcome {
        StoreOutcome::Stored { cas, .. } => Ok(cas),
        StoreOutcome::NotStored => Err(match mode {
            StoreMode::Add => Status::Exists,
            StoreMode::Replace => Status::NotFound,
            _ => Status::NotStored,
        }),
        StoreOutcome::Exists => Err(Status::Exists),
        StoreOutcome::NotFound => Err(Status::NotFound),
        StoreOutcome::TooLarge => Err(match mode {
            // As memcached answers, which keeps the old value too.
            StoreMode::Append | StoreMode::Prepend => Status::NotStored,
            _ => Status::TooLarge,
        }),
        StoreOutcome::OutOfMemory => Err(Status::OutOfMemory),
    }
}

/// Writes a hit; of a `Touch` without its value.
fn write_hit(tag: Tag, verb: Verb, shown_key: &[u8], item: &Item<'_>, out: &mut Output) {
    let write_head = |buffer: &mut Vec<u8>, len| response::write_hit(buffer, tag, item.flags, item.cas, shown_key, len);
    match item.value {
        _ if verb == Verb::Touch => out.write(|buffer| write_head(buffer, 0)),
        Value::Inline(value) => out.write(|buffer| {
            write_head(buffer, value.len());
            buffer.extend_from_slice(value);
        }),
        Value::Shared(value) => {
            out.write(|buffer| write_head(buffer, value.len()));
            out.put_shared(value.clone());
        }
    }
}
