//! One item: its key and value in memory, and what the shard knows about it.

use bytes::Bytes;

use super::door::{Incoming, Marks, Value};
use super::memory::allocated;
use super::slots::SlotId;
use crate::limits::SHARED_VALUE_LEN_MIN;
use crate::terms::{CasUnique, Deadline, Flags, Key, KeyHash};

/// What a shard keeps about one item, beside its bytes.
#[derive(Debug)]
pub(super) struct StoredItem {
    /// Key and value.
    pub(super) payload: Payload,
    /// The key's hash, so that leaving the index needs no hashing.
    pub(super) hash: KeyHash,
    /// The shard's count of writes when this one happened, from 1. Tells age (flush).
    pub(super) birth: u64,
    /// The version: made of the birth, or as the client chose.
    pub(super) cas: CasUnique,
    /// The client's flags.
    pub(super) flags: Flags,
    /// When it dies.
    pub(super) deadline: Deadline,
    /// When it was last fetched or touched: seconds of the monotonic clock.
    pub(super) accessed_s: u32,
    /// The neighbour written after this one, in the eviction queue.
    pub(super) newer: Option<SlotId>,
    /// The neighbour written before this one.
    pub(super) older: Option<SlotId>,
    /// What the protocol remembers.
    pub(super) marks: Marks,
    /// Used since the eviction hand last passed.
    pub(super) visited: bool,
    /// Fetched or touched since it was stored.
    pub(super) fetched: bool,
}

/// The bytes of an item. Small ones are one allocation; large values are counted references, so that a reply can send
/// them without a copy and a reader keeps its version when the item goes.
#[derive(Debug)]
pub(super) enum Payload {
    /// The key's length in one byte, the key, the value. Empty while the payload is out for a change.
    Inline(Box<[u8]>),
    /// A value of at least [`SHARED_VALUE_LEN_MIN`].
    Shared(Box<SharedValue>),
}

/// A large value and its key.
#[derive(Debug)]
pub(super) struct SharedValue {
    key: Box<[u8]>,
    /// Bytes of key charged; stays when the key is given back.
    key_charge: usize,
    value: Bytes,
    /// Bytes allocated for the value, as far as the store knows: memory from outside counts by its length.
    capacity: usize,
}

/// The end of a value that `append` and `prepend` add to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// `append`
    Back,
    /// `prepend`
    Front,
}

/// Most bytes kept free behind a value that grows by appends.
const SPARE_MAX: usize = 1 << 20;
/// What `Bytes` allocates to count references: pointer, capacity, count.
const REFERENCE_COUNT_LEN: usize = 24;

impl Incoming<'_> {
    /// Length of the value.
    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Payload {
    /// Stands in while the payload is out for a change.
    pub(super) fn taken() -> Self {
        Self::Inline(Box::default())
    }

    /// Whether this is the stand-in.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self, Self::Inline(bytes) if bytes.is_empty())
    }

    /// What a new item of these lengths will be charged.
    pub(super) const fn charge_for(key_len: usize, value_len: usize) -> usize {
        if value_len < SHARED_VALUE_LEN_MIN {
            allocated(1 + key_len + value_len)
        } else {
            shared_charge(allocated(key_len), value_len)
        }
    }

    /// Key and value in new memory, or the value in the memory it came in.
    pub(super) fn new(key: Key<'_>, value: Incoming<'_>) -> Self {
        if value.len() < SHARED_VALUE_LEN_MIN {
            return inline(key.as_bytes(), &[value.as_slice()]);
        }
        let capacity = value.len();
        let value = match value {
            Incoming::Slice(bytes) => Bytes::copy_from_slice(bytes),
            Incoming::Shared(bytes) => bytes,
        };
        shared(key.as_bytes(), value, capacity)
    }

    /// What this payload is charged.
    pub(super) fn charge(&self) -> usize {
        match self {
            Self::Inline(bytes) => allocated(bytes.len()),
            Self::Shared(shared) => shared_charge(shared.key_charge, shared.capacity),
        }
    }

    /// Gives the key's memory back without changing the charge.
    pub(super) fn charge_key_elsewhere(&mut self) {
        if let Self::Shared(shared) = self {
            shared.key = Box::default();
        }
    }

    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes.split_first().map_or(&[], |(&key_len, rest)| &rest[..usize::from(key_len)]),
            Self::Shared(shared) => &shared.key,
        }
    }

    /// Where the key stands and a small value begins.
    pub(super) fn memory(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Shared(shared) => &shared.key,
        }
    }

    /// The same key with an empty value.
    pub(super) fn emptied(&self) -> Self {
        inline(self.key(), &[])
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Inline(bytes) => Value::Inline(&bytes[value_start(bytes)..]),
            Self::Shared(shared) => Value::Shared(&shared.value),
        }
    }

    /// The value of a small item, to be changed in place.
    pub(super) fn inline_value_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Self::Inline(bytes) => {
                let start = value_start(bytes);
                Some(&mut bytes[start..])
            }
            Self::Shared(_) => None,
        }
    }

    /// Whether a reader has the value too.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Shared(shared) if !shared.value.is_unique())
    }

    /// What the payload will be charged once `extra_len` bytes are joined to it.
    pub(super) fn joined_charge(&self, end: End, extra_len: usize, value_len_max: usize) -> usize {
        let value_len = self.value_bytes().len() + extra_len;
        if value_len < SHARED_VALUE_LEN_MIN {
            return Self::charge_for(self.key().len(), value_len);
        }
        let capacity = match self {
            Self::Shared(shared) if shared.has_spare(end, extra_len) => shared.capacity,
            _ => capacity_with_spare(value_len, value_len_max),
        };
        shared_charge(allocated(self.key().len()), capacity)
    }

    /// Joins `extra` to the value; charged as [`Payload::joined_charge`] said. The second payload is the old one, if
    /// it was not used up.
    pub(super) fn join(self, end: End, extra: &[u8], value_len_max: usize) -> (Self, Option<Self>) {
        let value_len = self.value_bytes().len() + extra.len();
        let mut old = match self {
            Self::Shared(mut shared) if shared.has_spare(end, extra.len()) => {
                shared.extend(extra);
                return (Self::Shared(shared), None);
            }
            old => old,
        };
        let new = {
            let present = old.value_bytes();
            let parts = if end == End::Back { [present, extra] } else { [extra, present] };
            if value_len < SHARED_VALUE_LEN_MIN {
                inline(old.key(), &parts)
            } else {
                let capacity = capacity_with_spare(value_len, value_len_max);
                shared(old.key(), concatenate(&parts, capacity).into(), capacity)
            }
        };
        if let Self::Inline(bytes) = &mut old {
            *bytes = Box::default();
            return (new, None);
        }
        (new, Some(old))
    }

    pub(super) fn value_bytes(&self) -> &[u8] {
        match self.value() {
            Value::Inline(bytes) => bytes,
            Value::Shared(bytes) => bytes,
        }
    }
}

impl SharedValue {
    fn has_spare(&self, end: End, extra_len: usize) -> bool {
        end == End::Back && self.capacity - self.value.len() >= extra_len && self.value.is_unique()
    }

    /// Appends within the capacity: the bytes stay where they are.
    fn extend(&mut self, extra: &[u8]) {
        let mut value = std::mem::take(&mut self.value).try_into_mut().expect("no reader: has_spare looked");
        value.extend_from_slice(extra);
        self.value = value.freeze();
    }
}

const fn shared_charge(key_charge: usize, capacity: usize) -> usize {
    allocated(size_of::<SharedValue>()) + key_charge + allocated(REFERENCE_COUNT_LEN) + allocated(capacity)
}

fn value_start(bytes: &[u8]) -> usize {
    bytes.first().map_or(0, |&key_len| 1 + usize::from(key_len))
}

fn capacity_with_spare(value_len: usize, value_len_max: usize) -> usize {
    (value_len + (value_len / 4).min(SPARE_MAX)).min(value_len_max.max(value_len))
}

fn inline(key: &[u8], parts: &[&[u8]]) -> Payload {
    let value_len = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(1 + key.len() + value_len);
    bytes.push(u8::try_from(key.len()).expect("a key has at most 250 bytes"));
    bytes.extend_from_slice(key);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    Payload::Inline(bytes.into_boxed_slice())
}

fn shared(key: &[u8], value: Bytes, capacity: usize) -> Payload {
    Payload::Shared(Box::new(SharedValue { key: key.into(), key_charge: allocated(key.len()), value, capacity }))
}

fn concatenate(parts: &[&[u8]], capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The number that `incr` and `decr` see in a value (PROTOCOL §3, §15): blanks around it, a `+` and leading zeros are
/// fine; more than 20 digits or anything after a blank is not.
pub(super) fn parse_number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_without_its_bytes_is_72_bytes() {
        assert_eq!(size_of::<Payload>(), 16);
        assert_eq!(size_of::<StoredItem>(), 72);
    }

    #[test]
    fn numbers_as_memcached_reads_them() {
        for (text, number) in
            [("0", 0), ("99 ", 99), (" 7", 7), ("+5", 5), ("007", 7), ("18446744073709551615", u64::MAX)]
        {
            assert_eq!(parse_number(text.as_bytes()), Some(number), "{text:?}");
        }
        let too_long = "000000000000000000001";
        for text in ["", " ", "+", "-1", "1 2", "1x", "+ 1", "++1", "18446744073709551616", too_long] {
            assert_eq!(parse_number(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn the_charge_announced_is_the_charge_taken() {
        let key = Key::new(b"key").unwrap();
        for len in [0, 1, 100, SHARED_VALUE_LEN_MIN - 1, SHARED_VALUE_LEN_MIN, 200_000] {
            let value = vec![b'v'; len];
            let payload = Payload::new(key, Incoming::Slice(&value));
            assert_eq!(payload.charge(), Payload::charge_for(3, len));
            for end in [End::Back, End::Front] {
                let payload = Payload::new(key, Incoming::Slice(&value));
                let announced = payload.joined_charge(end, 50, 1 << 20);
                let (joined, _) = payload.join(end, &[b'x'; 50], 1 << 20);
                assert_eq!(joined.charge(), announced);
                assert_eq!((joined.key(), joined.value_bytes().len()), (b"key".as_slice(), len + 50));
            }
        }
    }

    #[test]
    fn appends_to_a_large_value_move_it_seldom() {
        let key = Key::new(b"key").unwrap();
        let mut payload = Payload::new(key, Incoming::Slice(&[b'v'; SHARED_VALUE_LEN_MIN]));
        let mut moves = 0;
        for _ in 0..10_000 {
            let place = payload.value_bytes().as_ptr();
            payload = payload.join(End::Back, &[b'x'; 100], 1 << 20).0;
            moves += u32::from(payload.value_bytes().as_ptr() != place);
        }
        assert_eq!(payload.value_bytes().len(), SHARED_VALUE_LEN_MIN + 1_000_000);
        assert!(moves <= 25, "moved {moves} times");
    }

    #[test]
    fn an_append_leaves_a_readers_version_alone() {
        let key = Key::new(b"key").unwrap();
        let (payload, _) = Payload::new(key, Incoming::Slice(&vec![b'v'; 20_000])).join(End::Back, b"1", 1 << 20);
        let Value::Shared(reader) = payload.value() else { panic!("a large value is shared") };
        let reader = reader.clone();
        let (joined, old) = payload.join(End::Back, b"2", 1 << 20);
        assert_eq!((reader.len(), joined.value_bytes().len()), (20_001, 20_002));
        assert!(old.is_some_and(|old| old.is_held()));
    }
}
