//! Which keys, which values, and which request comes next. Pure: a seed decides everything.

pub(crate) mod distribution;
mod operation;
pub(crate) mod plan;
pub(crate) mod presets;
pub(crate) mod random;
pub(crate) mod trace;
pub(crate) mod zipf;

pub(crate) use operation::Operation;
use random::Random;

/// Values start at one of this many places of one random text, so that two keys rarely share one.
const VALUE_STARTS: usize = 1 << 16;

/// All keys and their values. A key is a number written in decimal behind a filler; a value is what its key says.
pub(crate) struct Keyspace {
    count: u32,
    key_len: usize,
    digits: usize,
    value_len: usize,
    text: Vec<u8>,
}

impl Keyspace {
    /// `None` if that many keys of that length do not exist.
    pub(crate) fn new(count: u32, key_len: usize, value_len: usize) -> Option<Keyspace> {
        let digits = (count - 1).checked_ilog10().unwrap_or(0) as usize + 1;
        if digits > key_len {
            return None;
        }
        // Any byte may occur in a value, line ends and protocol words not excepted.
        let mut random = Random::new(0x7e57);
        let text = (0..VALUE_STARTS + value_len).map(|_| random.next().to_le_bytes()[5]).collect();
        Some(Keyspace { count, key_len, digits, value_len, text })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn key_len(&self) -> usize {
        self.key_len
    }

    pub(crate) fn value_len(&self) -> usize {
        self.value_len
    }

    pub(crate) fn push_key(&self, key: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.key_len, b'k');
        self.write_number(key, &mut out[start..]);
    }

    /// Writes the number at the end of a place where a key stands: the rest is the same for all keys.
    pub(crate) fn write_number(&self, mut key: u32, place: &mut [u8]) {
        for digit in place.iter_mut().rev().take(self.digits) {
            *digit = b'0' + (key % 10).to_le_bytes()[0];
            key /= 10;
        }
    }

    pub(crate) fn value(&self, key: u32) -> &[u8] {
        let start = (u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % VALUE_STARTS;
        &self.text[start..start + self.value_len]
    }
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Get,
    Set,
}

/// What to send next.
pub(crate) enum Workload {
    /// Store these keys, each once, then nothing.
    Load {
        next: u32,
        end: u32,
    },
    Mixed(Mix),
}

/// A random mix of gets and sets over all keys.
pub(crate) struct Mix {
    random: Random,
    /// A random 32-bit number below this makes a get.
    gets_below: u64,
}

impl Mix {
    pub(crate) fn new(seed: u64, get_ratio: f64) -> Mix {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the ratio is from 0 to 1")]
        let gets_below = (get_ratio * 4_294_967_296.0) as u64;
        Mix { random: Random::new(seed), gets_below }
    }
}

impl Workload {
    /// The next request's kind; its keys come from [`key`](Self::key), one call each, at least one.
    pub(crate) fn next(&mut self) -> Option<Request> {
        match self {
            Workload::Load { next, end } => (next < end).then_some(Request::Set),
            Workload::Mixed(mix) => {
                let is_get = mix.random.next() >> 32 < mix.gets_below;
                Some(if is_get { Request::Get } else { Request::Set })
            }
        }
    }

    /// The key for the request just drawn.
    pub(crate) fn key(&mut self, keyspace: &Keyspace) -> u32 {
        match self {
            Workload::Load { next, .. } => {
                *next += 1;
                *next - 1
            }
            Workload::Mixed(mix) => {
                let scaled = (mix.random.next() >> 32) * u64::from(keyspace.count());
                u32::try_from(scaled >> 32).unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_distinct_and_of_the_length_asked_for() {
        for (count, key_len) in [(1, 1), (10, 1), (1000, 3), (1001, 16), (1000, 250)] {
            let keyspace = Keyspace::new(count, key_len, 10).unwrap();
            let mut keys = HashSet::new();
            for key in 0..count {
                let mut text = Vec::new();
                keyspace.push_key(key, &mut text);
                assert_eq!(text.len(), key_len);
                assert!(keys.insert(text));
                assert_eq!(keyspace.value(key).len(), 10);
            }
        }
        assert!(Keyspace::new(11, 1, 10).is_none());
    }

    #[test]
    fn the_mix_keeps_its_ratio_and_reaches_every_key() {
        let keyspace = Keyspace::new(50, 8, 0).unwrap();
        for (ratio, expected) in [(0.0, 0..=0), (1.0, 10_000..=10_000), (0.9, 8_800..=9_200)] {
            let mut workload = Workload::Mixed(Mix::new(7, ratio));
            let mut keys = HashSet::new();
            let mut gets = 0;
            for _ in 0..10_000 {
                gets += usize::from(workload.next() == Some(Request::Get));
                keys.insert(workload.key(&keyspace));
            }
            assert!(expected.contains(&gets), "{gets} of 10000 at {ratio}");
            assert_eq!(keys.len(), 50);
        }
    }

    #[test]
    fn loading_stores_each_key_once() {
        let keyspace = Keyspace::new(100, 8, 0).unwrap();
        let mut workload = Workload::Load { next: 20, end: 60 };
        let mut loaded = Vec::new();
        while workload.next().is_some() {
            loaded.push(workload.key(&keyspace));
        }
        assert_eq!(loaded, (20..60).collect::<Vec<_>>());
    }
}
