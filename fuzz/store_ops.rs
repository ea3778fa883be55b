//! What the fuzz target of the store checks. Whoever includes this file has `tests/common/store_model.rs` as
//! `store_model` beside it.

use ringcached::terms::{Arithmetic, StoreMode};

use crate::store_model::{KEYS, Mode, Pair, Request};

/// More requests than this in an input are not looked at.
const REQUESTS_MAX: usize = 400;

/// The first two bytes choose how little memory there is and whether items may be evicted, the rest is requests to a
/// shard. It may forget only what it evicts, and its parts stay in step.
pub(crate) fn store_ops(data: &[u8]) {
    let mut bytes = Bytes(data);
    let Some([memory, evict]) = bytes.take() else { return };
    let mut pair = Pair::new((64 << 10) + usize::from(memory) * 3840, evict % 2 == 0);
    for _ in 0..REQUESTS_MAX {
        let Some(request) = next_request(&mut bytes) else { return };
        pair.run(&request);
    }
}

/// What is left of an input.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn key(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte % KEYS)
    }

    fn exptime(&mut self) -> Option<i64> {
        let [byte] = self.take()?;
        Some(match byte % 16 {
            0..10 => 0,
            10 => -1,
            seconds => i64::from(seconds) - 10,
        })
    }
}

/// The request that comes next; nothing at the end of the input.
fn next_request(bytes: &mut Bytes<'_>) -> Option<Request> {
    let [what] = bytes.take()?;
    Some(match what % 32 {
        0..6 => Request::Get(bytes.key()?),
        6 => Request::GetAndTouch(bytes.key()?, bytes.exptime()?),
        7 => Request::Touch(bytes.key()?, bytes.exptime()?),
        8 | 9 => Request::Delete(bytes.key()?),
        10 => Request::Number(bytes.key()?, bytes.take().map(u64::from_le_bytes)?),
        11 => Request::Arithmetic(bytes.key()?, Arithmetic::Increment, u64::from(bytes.number()?)),
        12 => Request::Arithmetic(bytes.key()?, Arithmetic::Decrement, bytes.take().map(u64::from_le_bytes)?),
        13 => Request::Flush(Some(bytes.number()?).filter(|&ms| ms != 0).map(u64::from)),
        14 => Request::Limit((64 << 10) + usize::from(bytes.number()?) * 6),
        15 => Request::Tick,
        16 | 17 => Request::Wait(1 + u64::from(bytes.number()?) % 1500),
        18 | 19 => Request::LetGo,
        _ => Request::Store {
            mode: mode(what / 32),
            key: bytes.key()?,
            len: value_len(what % 4, bytes.number()?),
            exptime: bytes.exptime()?,
            shared: what % 8 == 7,
        },
    })
}

fn mode(number: u8) -> Mode {
    match number {
        0 => Mode::Plain(StoreMode::Add),
        1 => Mode::Plain(StoreMode::Replace),
        2 => Mode::Plain(StoreMode::Append),
        3 => Mode::Plain(StoreMode::Prepend),
        4 => Mode::CasRight,
        5 => Mode::CasWrong,
        _ => Mode::Plain(StoreMode::Set),
    }
}

/// Mostly small ones, and large ones up to what is too large.
fn value_len(kind: u8, number: u16) -> usize {
    match kind {
        0 | 1 => usize::from(number % 300),
        2 => usize::from(number % 3000),
        _ => usize::from(number),
    }
}
