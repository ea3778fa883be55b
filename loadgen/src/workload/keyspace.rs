//! All keys and what their values hold. A key is a number written in decimal behind a filler, or a name of a trace; a
//! value follows from its key and its version.

use crate::workload::distribution::Sizes;
use crate::workload::lines::Lines;
use crate::workload::random::{Draw, Random, mix};

/// Values start at one of this many places of one random text, so that two keys rarely share one.
const VALUE_STARTS: usize = 1 << 16;
/// The text is no longer than this beyond the last start; longer values go round it.
const TEXT_LEN_MAX: usize = 1 << 20;
/// Values shorter than this hold no version: too little would be left to tell keys apart.
const VERSIONED_LEN_MIN: usize = 8;
/// The bytes of the version at the begin of a value, little endian.
pub(crate) const VERSION_LEN: usize = 4;
/// What `append` appends.
pub(crate) const APPENDED: &[u8; 16] = b"+appended bytes+";

/// Which of the disjoint sets of keys a key belongs to: counters and growing values would spoil the check of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Values that follow from key and version.
    Item,
    /// Values that `incr` counts up.
    Counter,
    /// Values that `append` lengthens.
    Log,
}

impl Family {
    fn first_byte(self) -> u8 {
        match self {
            Family::Item => b'k',
            Family::Counter => b'n',
            Family::Log => b'a',
        }
    }
}

pub(crate) struct Keyspace {
    names: Names,
    sizes: Sizes,
    /// The size of all values, if they have but one.
    fixed_size: Option<usize>,
    text: Vec<u8>,
    /// Of the items, if they are few enough.
    lines: Option<Lines>,
}

enum Names {
    Numbered { count: u64, key_len: usize, digits: usize },
    Listed(Vec<Box<[u8]>>),
}

impl Names {
    fn push(&self, family: Family, key: u64, out: &mut Vec<u8>) {
        match self {
            Names::Numbered { key_len, digits, .. } => {
                let start = out.len();
                out.resize(start + key_len, b'k');
                write_number(key, &mut out[start + key_len - digits..]);
                if key_len > digits {
                    out[start] = family.first_byte();
                }
            }
            Names::Listed(names) => {
                let name = usize::try_from(key).ok().and_then(|index| names.get(index));
                out.extend_from_slice(name.map_or(b"", |name| name));
            }
        }
    }
}

impl Keyspace {
    /// Keys of one length. `None` if that many keys of that length do not exist.
    pub(crate) fn numbered(count: u64, key_len: usize, sizes: Sizes) -> Option<Keyspace> {
        let digits = count.saturating_sub(1).checked_ilog10().unwrap_or(0) as usize + 1;
        (digits <= key_len).then(|| Keyspace::new(Names::Numbered { count, key_len, digits }, sizes))
    }

    /// The keys of a trace.
    pub(crate) fn listed(names: Vec<Box<[u8]>>, sizes: Sizes) -> Keyspace {
        Keyspace::new(Names::Listed(names), sizes)
    }

    fn new(names: Names, sizes: Sizes) -> Keyspace {
        let (least, greatest) = sizes.bounds();
        let size_max = usize::try_from(greatest).unwrap_or(usize::MAX);
        let text_len = size_max.min(TEXT_LEN_MAX);
        // Any byte may occur in a value, line ends and protocol words not excepted.
        let mut random = Random::new(0x7e57);
        let text = (0..VALUE_STARTS + text_len).map(|_| random.next().to_le_bytes()[5]).collect();
        let fixed_size = (least == greatest).then_some(size_max);
        let lines = match &names {
            Names::Numbered { count, key_len, .. } => {
                Lines::new(*count, *key_len, |key, out| names.push(Family::Item, key, out))
            }
            // Those of a trace have lengths of their own.
            Names::Listed(_) => None,
        };
        Keyspace { names, sizes, fixed_size, text, lines }
    }

    pub(crate) fn count(&self) -> u64 {
        match &self.names {
            Names::Numbered { count, .. } => *count,
            Names::Listed(names) => names.len() as u64,
        }
    }

    /// Whether counters and logs have keys of their own.
    pub(crate) fn has_families(&self) -> bool {
        match self.names {
            Names::Numbered { key_len, digits, .. } => key_len > digits,
            // A trace says itself which keys are counted or lengthened.
            Names::Listed(_) => true,
        }
    }

    pub(crate) fn push_key(&self, family: Family, key: u64, out: &mut Vec<u8>) {
        match self.encoded_name(family, key) {
            Some(name) => out.extend_from_slice(name),
            None => self.names.push(family, key, out),
        }
    }

    /// A key that need not be written anew.
    #[inline]
    pub(crate) fn encoded_name(&self, family: Family, key: u64) -> Option<&[u8]> {
        self.lines.as_ref().filter(|_| family == Family::Item)?.name(key)
    }

    /// The request of the text dialect that gets a key, if it need not be written anew.
    #[inline]
    pub(crate) fn encoded_get(&self, family: Family, key: u64) -> Option<&[u8]> {
        self.lines.as_ref().filter(|_| family == Family::Item)?.get(key)
    }

    /// How long a value of a key must be, if its key alone says so.
    pub(crate) fn expected_len(&self, key: u64) -> Option<usize> {
        matches!(self.names, Names::Numbered { .. }).then(|| self.value_len(key))
    }

    /// How long a value of a key is to be made, unless a trace says otherwise.
    pub(crate) fn value_len(&self, key: u64) -> usize {
        self.fixed_size.unwrap_or_else(|| {
            // A key has its size for good, whatever the seed of the run.
            usize::try_from(self.sizes.draw(&mut Random::new(mix(key ^ 0x517e)))).unwrap_or(usize::MAX)
        })
    }

    /// No value is made longer than this, unless by a trace.
    pub(crate) fn value_len_max(&self) -> usize {
        usize::try_from(self.sizes.bounds().1).unwrap_or(usize::MAX)
    }

    pub(crate) fn push_value(&self, key: u64, version: u32, len: usize, out: &mut Vec<u8>) {
        let end = out.len() + len;
        if len >= VERSIONED_LEN_MIN {
            out.extend_from_slice(&version.to_le_bytes());
        }
        while out.len() < end {
            let at = len - (end - out.len());
            let piece = self.piece(key, version, at, len);
            out.extend_from_slice(piece);
        }
    }

    /// Whether a value of this length begins with its version.
    pub(crate) fn is_versioned(len: usize) -> bool {
        len >= VERSIONED_LEN_MIN
    }

    /// The bytes of a value of length `len` from `at` on, behind the version: as many as lie together, at least one.
    pub(crate) fn piece(&self, key: u64, version: u32, at: usize, len: usize) -> &[u8] {
        let version = if Self::is_versioned(len) { version } else { 0 };
        let start = (mix(key ^ (u64::from(version) << 40)) >> 48) as usize % VALUE_STARTS;
        let from = start + at;
        // Hardly any value is long enough to go round: a division for each would be felt.
        let from = if from < self.text.len() { from } else { from % self.text.len() };
        &self.text[from..(from + len - at).min(self.text.len())]
    }
}

/// Writes a number in decimal, with leading zeros, into all of a place.
fn write_number(mut number: u64, place: &mut [u8]) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_distinct_and_of_the_length_asked_for() {
        for (count, key_len) in [(1, 1), (10, 1), (1000, 3), (1001, 16), (1000, 250)] {
            let keyspace = Keyspace::numbered(count, key_len, "10".parse().unwrap()).unwrap();
            let mut keys = HashSet::new();
            for key in 0..count {
                let mut text = Vec::new();
                keyspace.push_key(Family::Item, key, &mut text);
                assert_eq!(text.len(), key_len);
                assert!(keys.insert(text));
                assert_eq!(keyspace.value_len(key), 10);
            }
            if keyspace.has_families() {
                let mut text = Vec::new();
                keyspace.push_key(Family::Counter, 0, &mut text);
                assert!(keys.insert(text));
            }
        }
        assert!(Keyspace::numbered(11, 1, "10".parse().unwrap()).is_none());
    }

    #[test]
    fn an_encoded_request_is_the_one_that_would_be_written() {
        let few = Keyspace::numbered(1001, 7, "10".parse().unwrap()).unwrap();
        // So many lines would be too much: each is written when it is sent.
        let many = Keyspace::numbered(100_000, 16, "10".parse().unwrap()).unwrap();
        for key in [0, 7, 1000] {
            let mut written = Vec::new();
            few.names.push(Family::Item, key, &mut written);
            assert_eq!(few.encoded_name(Family::Item, key), Some(written.as_slice()));
            let line = [b"get ", written.as_slice(), b"\r\n"].concat();
            assert_eq!(few.encoded_get(Family::Item, key), Some(line.as_slice()));
            assert_eq!(few.encoded_get(Family::Counter, key), None, "another key");
            assert_eq!(many.encoded_get(Family::Item, key), None);
        }
        assert_eq!(few.encoded_get(Family::Item, 1001), None);
    }

    #[test]
    fn a_value_follows_from_key_and_version() {
        let keyspace = Keyspace::numbered(1 << 40, 16, "0-3000000".parse().unwrap()).unwrap();
        let value = |key, version, len| {
            let mut value = Vec::new();
            keyspace.push_value(key, version, len, &mut value);
            assert_eq!(value.len(), len);
            value
        };
        for len in [8, 9, 100, TEXT_LEN_MAX, 3_000_000] {
            assert_eq!(value(7, 1, len), value(7, 1, len));
            assert_ne!(value(7, 1, len)[VERSION_LEN..], value(7, 2, len)[VERSION_LEN..]);
            assert_ne!(value(7, 1, len)[VERSION_LEN..], value(8, 1, len)[VERSION_LEN..]);
        }
        // Too short for a version: the same for all of them.
        for len in 0..8 {
            assert_eq!(value(7, 1, len), value(7, 2, len));
        }
    }
}
