//! Hashes of keys that will be looked up soon, so that their items are fetched from memory together.
//!
//! A look-up of an item that is not in the cache waits several times for memory, and a pipeline of them waits in turn.
//! Before a run of gets is executed, the shard is therefore told all their keys (`Shard::look_ahead`); the hashes are
//! kept, for the look-ups themselves. This changes no reply: a key that was not foreseen is hashed when it comes.

use std::hint::black_box;

use memchr::memchr;

use super::{Engine, find};
use crate::limits::LOOK_AHEAD_KEYS;
use crate::protocol::Keys;
use crate::protocol::binary::{Header, REQUEST_MAGIC};
use crate::protocol::meta::request::{GET as META_GET, parse_plain_get};
use crate::protocol::meta::{FlagSet, MetaFlags};
use crate::protocol::tokens::{find_key_end, split_long_token};
use crate::routing::Routing;
use crate::session::letter::{ConnectionId, Letter, Task};
use crate::store::{Shard, Sought};
use crate::terms::{Key, KeyHash, Now, ShardId};

/// A key seen ahead.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Where it stands in memory, which tells it from others as long as the input stays where it is.
    address: usize,
    /// Which of those that this core owns it is, if it is one.
    ours: Option<u8>,
    owner: ShardId,
    key_len: u8,
    line: Line,
}

impl Seen {
    #[inline]
    fn is_within(&self, input: &[u8]) -> bool {
        input.as_ptr_range().contains(&std::ptr::without_provenance(self.address))
    }
}

/// The line that a key was seen in.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// It has more to say than this key; or it is a packet.
    Other,
    /// A classic `get` of this key alone.
    Get { len: u16 },
    /// An `mg` with these flags.
    MetaGet { len: u16, flags_len: u8, flags: FlagSet },
}

impl Line {
    /// Bytes before the key, and of the line.
    const fn start_and_len(self) -> Option<(usize, usize)> {
        match self {
            Self::Other => None,
            Self::Get { len } => Some((GET.len(), len as usize)),
            Self::MetaGet { len, .. } => Some((META_GET.len(), len as usize)),
        }
    }
}

/// What stands before the key of a classic `get`.
const GET: &[u8] = b"get ";

/// A get of one key, understood before its turn came.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeseenGet<'a> {
    pub(super) key: Key<'a>,
    pub(super) sought: Sought,
    /// Its flags, if it is an `mg`.
    pub(super) meta: Option<MetaFlags<'a>>,
    /// Bytes of its line.
    pub(super) line_len: usize,
}

/// Keys seen ahead in one run over one input, in their order.
#[derive(Debug)]
pub(super) struct LookAhead {
    seen: [Seen; LOOK_AHEAD_KEYS],
    /// By what those are looked up that this core owns.
    ours: [Sought; LOOK_AHEAD_KEYS],
    len: usize,
    /// The first that has not been used.
    next: usize,
    /// Where the last key seen stands, whoever owns it.
    last: usize,
    /// Whether these are the only requests of several inputs, instead of the first of one.
    across: bool,
}

impl LookAhead {
    pub(super) const fn new() -> Self {
        let nothing = Seen { address: 0, ours: None, owner: ShardId(0), key_len: 0, line: Line::Other };
        Self {
            seen: [nothing; LOOK_AHEAD_KEYS],
            ours: [Sought::new(KeyHash(0)); LOOK_AHEAD_KEYS],
            len: 0,
            next: 0,
            last: 0,
            across: false,
        }
    }

    /// Forgets all keys: the input goes, and something else may soon stand at the same addresses.
    pub(super) const fn reset(&mut self) {
        self.len = 0;
        self.next = 0;
        self.last = 0;
        self.across = false;
    }

    /// Forgets the keys of an input that goes, and keeps those of others.
    pub(super) const fn end_input(&mut self) {
        if !self.across {
            self.reset();
        }
    }

    /// Whether `rest`, what is left of the input, lies behind all keys seen ahead. Those of other cores count: where
    /// there are many cores, most keys are theirs, and nobody looks at the same lines again and again.
    #[inline]
    pub(super) fn is_used_up(&self, rest: &[u8]) -> bool {
        if self.across {
            return !rest.is_empty() && !self.seen[self.next..self.len].iter().any(|seen| seen.is_within(rest));
        }
        rest.as_ptr().addr() > self.last
    }

    /// Looks at the requests of several inputs, those of them that are one request. They come in this order.
    pub(super) fn over_inputs<'a>(
        &mut self,
        inputs: impl Iterator<Item = &'a [u8]>,
        shard: &Shard,
        routing: Routing,
        here: ShardId,
    ) {
        self.over(inputs.filter_map(only_request), shard, routing, here);
        self.across = true;
    }

    /// Looks at the requests that `input` begins with, packets or lines.
    pub(super) fn over_input(&mut self, input: &[u8], shard: &Shard, routing: Routing, here: ShardId) {
        match input {
            [REQUEST_MAGIC, ..] => self.over_packets(input, shard, routing, here),
            [b'g', ..] | [b'm', b'g', ..] => self.over_lines(input, shard, routing, here),
            _ => self.reset(),
        }
    }

    /// Looks at the packets with a key, whatever they ask for, that `input` begins with.
    fn over_packets(&mut self, input: &[u8], shard: &Shard, routing: Routing, here: ShardId) {
        let mut rest = input;
        let packets = std::iter::from_fn(|| {
            let (len, key) = packet(rest)?;
            rest = &rest[len..];
            Some((key, Line::Other))
        });
        self.over(packets, shard, routing, here);
    }

    /// Looks at the gets of one key each, classic or meta, that `input` begins with.
    fn over_lines(&mut self, input: &[u8], shard: &Shard, routing: Routing, here: ShardId) {
        let mut rest = input;
        let lines = std::iter::from_fn(|| {
            let (line_len, seen) = if rest.starts_with(META_GET) { meta_get(rest)? } else { get(rest)? };
            rest = &rest[line_len..];
            Some(seen)
        });
        self.over(lines, shard, routing, here);
    }

    /// Looks at the requests about one key among `letters` of other cores. They come in this order.
    pub(super) fn over_letters(&mut self, letters: &[Box<Letter>], shard: &Shard, here: ShardId) {
        let letters = || letters.iter().filter(|letter| letter.home != here);
        // A letter comes from another core's cache, and each step waits for the one before it: take all letters through a
        // step at a time.
        black_box(letters().map(|letter| letter.data.len()).sum::<usize>());
        black_box(letters().filter_map(|letter| letter.data.first()).fold(0, |sum: u8, &byte| sum.wrapping_add(byte)));
        let keys = letters().filter_map(|letter| match letter.task {
            Task::One { key_len, .. } | Task::Packet { key_len, .. } | Task::Meta { key_len, .. } => {
                Key::new(letter.data.get(..usize::from(key_len))?)
            }
            _ => None,
        });
        self.over_own(keys, shard);
        self.across = true;
    }

    /// Looks at the next of `keys`, which are all this core's.
    pub(super) fn over_own<'a>(&mut self, keys: impl Iterator<Item = Key<'a>>, shard: &Shard) {
        // In a cache of one core all keys have the same owner.
        self.over(keys.map(|key| (key, Line::Other)), shard, Routing::new(1), ShardId(0));
    }

    /// Looks at the lines of a letter, all of keys that this core owns.
    pub(super) fn over_own_lines(&mut self, lines: &[u8], shard: &Shard) {
        self.over_lines(lines, shard, Routing::new(1), ShardId(0));
    }

    /// Looks at all keys of a line.
    pub(super) fn over_keys(&mut self, keys: Keys<'_>, shard: &Shard, routing: Routing, here: ShardId) {
        self.over(keys.map(|key| (key, Line::Other)), shard, routing, here);
    }

    /// Looks at the next of `keys`.
    fn over<'a>(
        &mut self,
        keys: impl Iterator<Item = (Key<'a>, Line)>,
        shard: &Shard,
        routing: Routing,
        here: ShardId,
    ) {
        self.reset();
        let mut ours = 0;
        for ((key, line), seen) in keys.zip(&mut self.seen) {
            self.last = address(key);
            self.len += 1;
            #[expect(clippy::cast_possible_truncation, reason = "a key has at most 250 bytes")]
            let key_len = key.as_bytes().len() as u8;
            let owner = routing.owner(key);
            *seen = Seen { address: address(key), ours: None, owner, key_len, line };
            if owner == here {
                seen.ours = u8::try_from(ours).ok();
                self.ours[ours] = shard.hash(key).into();
                ours += 1;
            }
        }
        // A single key gains nothing: its look-up is next.
        if ours > 1 {
            shard.look_ahead(&mut self.ours[..ours]);
        }
    }

    /// The get that `rest`, what is left of the input, begins with, if it was seen ahead and this core owns its key.
    #[expect(clippy::inline_always, reason = "measured: what it found would go through memory, 40 instructions a get")]
    #[inline(always)]
    pub(super) fn next_get<'a>(&mut self, rest: &'a [u8]) -> Option<ForeseenGet<'a>> {
        if self.across {
            // Whoever stands before has been answered in another way, or is gone.
            self.next += self.seen[self.next..self.len].iter().position(|seen| seen.is_within(rest))?;
        }
        let seen = self.seen[..self.len].get(self.next)?;
        let sought = self.ours[usize::from(seen.ours?)];
        let (start, line_len) = seen.line.start_and_len()?;
        if seen.address != rest.as_ptr().addr() + start {
            return None;
        }
        let key_end = start + usize::from(seen.key_len);
        let key = Key::new(rest.get(start..key_end)?)?;
        let meta = match seen.line {
            Line::MetaGet { flags_len, flags, .. } => {
                Some(MetaFlags::from_parts(rest.get(key_end..key_end + usize::from(flags_len))?, flags))
            }
            _ => None,
        };
        self.next += 1;
        Some(ForeseenGet { key, sought, meta, line_len })
    }

    /// The same of a get that another core owns: which, and the line. To be asked when this core's own is not there.
    #[inline]
    pub(super) fn next_far_get<'a>(&mut self, rest: &'a [u8]) -> Option<(ShardId, &'a [u8])> {
        let seen = self.seen[..self.len].get(self.next).filter(|seen| seen.ours.is_none())?;
        let (start, line_len) = seen.line.start_and_len()?;
        if seen.address != rest.as_ptr().addr() + start {
            return None;
        }
        // An input that is used up ends where the next may begin.
        let line = rest.get(..line_len)?;
        self.next += 1;
        Some((seen.owner, line))
    }

    /// Takes the first of `keys`, what is left of a line, if it was seen ahead; and by what it is looked up if this core owns
    /// it.
    #[inline]
    pub(super) fn next_key<'a>(&mut self, keys: &mut Keys<'a>) -> Option<(Key<'a>, Option<Sought>)> {
        let seen = self.seen[..self.len].get(self.next)?;
        let key = keys.take(seen.address.checked_sub(keys.as_bytes().as_ptr().addr())?, usize::from(seen.key_len))?;
        self.next += 1;
        Some((key, seen.ours.map(|ours| self.ours[usize::from(ours)])))
    }

    /// The same, if this core owns the key; otherwise that stays the next.
    #[inline]
    pub(super) fn next_own_key<'a>(&mut self, keys: &mut Keys<'a>) -> Option<(Key<'a>, Sought)> {
        let seen = self.seen[..self.len].get(self.next)?;
        let sought = self.ours[usize::from(seen.ours?)];
        let key = keys.take(seen.address.checked_sub(keys.as_bytes().as_ptr().addr())?, usize::from(seen.key_len))?;
        self.next += 1;
        Some((key, sought))
    }

    /// Whether nothing that was seen ahead is left.
    const fn is_over(&self) -> bool {
        self.next >= self.len
    }

    /// By what `key` is looked up, which was seen ahead or not.
    #[inline]
    pub(super) fn seek(&mut self, key: Key<'_>, shard: &Shard) -> Sought {
        let address = address(key);
        let ahead = &self.seen[self.next..self.len];
        let len = key.as_bytes().len();
        let found = ahead.iter().position(|seen| seen.address == address && usize::from(seen.key_len) == len);
        match found.and_then(|at| Some((at, ahead[at].ours?))) {
            Some((at, ours)) => {
                self.next += at + 1;
                self.ours[usize::from(ours)]
            }
            None => shard.hash(key).into(),
        }
    }
}

/// The key of the only request of `input`, if it is one about a key. Where there are more, they are looked at when they
/// come, together.
#[inline]
fn only_request(input: &[u8]) -> Option<(Key<'_>, Line)> {
    match input {
        [b'g', b'e', b't', b' ', ..] => get(input).filter(|(len, _)| *len == input.len()).map(|(_, seen)| seen),
        [b'm', b'g', ..] => meta_get(input).filter(|(len, _)| *len == input.len()).map(|(_, seen)| seen),
        // Its value is behind it, and then another request or not.
        [b's', b'e', b't', b' ', rest @ ..] => {
            let end = find_key_end(rest).filter(|&end| rest[end] == b' ')?;
            Some((Key::new(&rest[..end])?, Line::Other))
        }
        [REQUEST_MAGIC, ..] => packet(input).filter(|(len, _)| *len == input.len()).map(|(_, key)| (key, Line::Other)),
        _ => None,
    }
}

/// The packet that `input` begins with, if it has a key: its length, and the key.
fn packet(input: &[u8]) -> Option<(usize, Key<'_>)> {
    let (header, body) = input.split_first_chunk()?;
    let header = Header::read(header);
    let key_start = usize::from(header.extras_len);
    let key = body.get(key_start..key_start + usize::from(header.key_len))?;
    let body_len = usize::try_from(header.body_len).ok().filter(|&len| len <= body.len())?;
    let key = Key::new(key).filter(|_| header.magic == REQUEST_MAGIC)?;
    Some((input.len() - body.len() + body_len, key))
}

/// The line that `input` begins with if it is a classic `get` of a single key: its length, and the key.
#[inline]
fn get(input: &[u8]) -> Option<(usize, (Key<'_>, Line))> {
    let rest = input.strip_prefix(GET)?;
    let key_end = find_key_end(rest)?;
    // The address of a key tells it only if it is the same key: a line of several is left to its own look-ahead.
    let end = match rest[key_end..] {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => return None,
    };
    let len = GET.len() + key_end + end;
    #[expect(clippy::cast_possible_truncation, reason = "a key has at most 250 bytes, its line little more")]
    let line = Line::Get { len: len as u16 };
    Some((len, (Key::new(&rest[..key_end])?, line)))
}

/// The `mg` that `input` begins with: the length of its line, its key, and its flags if they are plain ones.
#[inline]
fn meta_get(input: &[u8]) -> Option<(usize, (Key<'_>, Line))> {
    let rest = input.strip_prefix(META_GET)?;
    let Some((request, len)) = parse_plain_get(rest) else {
        let end = memchr(b'\n', rest)?;
        let text = &rest[..end];
        let (token, _) = split_long_token(text.strip_suffix(b"\r").unwrap_or(text));
        return Some((META_GET.len() + end + 1, (Key::new(token)?, Line::Other)));
    };
    let (flags, len) = (request.flags, META_GET.len() + len);
    // So short are a key and flags of which none comes twice.
    #[expect(clippy::cast_possible_truncation, reason = "a key has at most 250 bytes, plain flags fewer than 100")]
    let line = Line::MetaGet { len: len as u16, flags_len: flags.text().len() as u8, flags: flags.set() };
    Some((len, (Key::new(request.token)?, line)))
}

impl Engine {
    /// Tells what [`Engine::receive`] will be given next, in that order: the items asked for are brought near the CPU
    /// together. The bytes must stay where they are until then, or until [`Engine::end_foresight`]. How many there are.
    pub fn foresee<'a>(&mut self, inputs: impl Iterator<Item = (ConnectionId, &'a [u8])>) -> usize {
        let Self { node, connections, .. } = self;
        let node = &mut **node;
        let inputs = inputs.filter(|(id, _)| {
            find(connections, *id).is_some_and(|connection| {
                connection.session.pending.is_empty() && connection.session.framing.is_between_requests()
            })
        });
        node.ahead.over_inputs(inputs.map(|(_, bytes)| bytes), &node.shard, node.routing, node.id);
        node.ahead.len
    }

    /// Takes letters of the mesh, in their order: requests of other cores, which go to the outbox answered, and this core's
    /// own that come home. Leaves `letters` empty.
    pub fn deliver_all(&mut self, letters: &mut Vec<Box<Letter>>, now: Now) {
        while !letters.is_empty() {
            let count = letters.len().min(LOOK_AHEAD_KEYS);
            self.node.look_ahead_over_letters(&letters[..count]);
            for letter in letters.drain(..count) {
                self.deliver(letter, now);
            }
        }
        self.node.ahead.reset();
    }

    /// Whether something that was foreseen has not come yet.
    pub fn has_foresight(&self) -> bool {
        !self.node.ahead.is_over()
    }

    /// Forgets what was foreseen.
    pub fn end_foresight(&mut self) {
        self.node.ahead.reset();
    }
}

fn address(key: Key<'_>) -> usize {
    key.as_bytes().as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ShardConfig;

    fn shard() -> Shard {
        Shard::new(ShardConfig {
            id: ShardId(0),
            shards: 2,
            budget: std::sync::Arc::new(crate::memory::Budget::new(1 << 20)),
            item_size_max: 1 << 20,
            evict: true,
            cas: true,
            huge_pages: false,
            hash_seed: [7, 11],
        })
        .unwrap()
    }

    #[test]
    fn gets_of_one_key_are_understood_and_others_only_hashed() {
        let shard = shard();
        let hash = |key| shard.hash(Key::new(key).unwrap());
        let input = b"get a\r\nget bb\nmg ccc v t\r\nmg dd O1\r\nmg e\nget f g\r\nget h\r\n";
        let mut ahead = LookAhead::new();
        ahead.over_input(input, &shard, Routing::new(1), ShardId(0));
        for (at, key, flags, line_len) in
            [(0, &b"a"[..], None, 7), (7, b"bb", None, 7), (14, b"ccc", Some(&b" v t"[..]), 12)]
        {
            let get = ahead.next_get(&input[at..]).unwrap();
            assert_eq!((get.key.as_bytes(), get.sought.hash(), get.line_len), (key, hash(key), line_len));
            assert_eq!(get.meta.map(MetaFlags::text), flags);
        }
        assert!(ahead.next_get(&input[26..]).is_none(), "an argument has more to say");
        assert!(ahead.next_get(&input[36..]).is_none(), "not this one's turn");
        assert_eq!(ahead.seek(Key::new(&input[29..31]).unwrap(), &shard).hash(), hash(b"dd"));
        assert_eq!(ahead.next_get(&input[36..]).unwrap().line_len, 5);
        assert!(ahead.next_get(&input[41..]).is_none() && ahead.is_used_up(&input[41..]));
        ahead.reset();
        assert!(ahead.next_get(input).is_none());
    }

    #[test]
    fn a_key_is_the_same_however_its_line_is_understood() {
        let shard = shard();
        for key in ["k", "\x01\t\x7f", "a\rb", "\x0b", "\u{fc}ber"] {
            for line in ["mg KEY\r\n", "mg KEY\n", "mg KEY v\r\n", "mg KEY O1\r\n", "mg KEY t v\n"] {
                let line = line.replace("KEY", key);
                let input = line.repeat(2);
                let mut ahead = LookAhead::new();
                ahead.over_input(input.as_bytes(), &shard, Routing::new(1), ShardId(0));
                for at in [0, line.len()] {
                    let input = &input.as_bytes()[at..];
                    let key = Key::new(&input[3..3 + key.len()]).unwrap();
                    let hash = match ahead.next_get(input) {
                        Some(get) => get.sought.hash(),
                        None => ahead.seek(key, &shard).hash(),
                    };
                    assert_eq!(hash, shard.hash(key), "{line:?}");
                }
                assert_eq!(ahead.next, 2, "{line:?}");
            }
            // Among several inputs, too, where what is taken for a key may be the beginning of one.
            for line in [format!("set {key} 0 0 1\r\n1\r\n"), format!("get {key}\r\n"), format!("mg {key} v\r\n")] {
                let mut ahead = LookAhead::new();
                let inputs = [line.as_bytes(), b"get other\r\n"];
                ahead.over_inputs(inputs.into_iter(), &shard, Routing::new(1), ShardId(0));
                let at = line.find(' ').unwrap() + 1;
                let key = Key::new(&line.as_bytes()[at..at + key.len()]).unwrap();
                assert_eq!(ahead.seek(key, &shard).hash(), shard.hash(key), "{line:?}");
            }
            // A packet that is none: its key stands where another begins.
            let input =
                [b"\x80\x0c\x00\x01\x00\x00\x00\x00\x00\x00\x00\x40", &[0; 12][..], key.as_bytes(), &[7; 64]].concat();
            let mut ahead = LookAhead::new();
            ahead.over_input(&input, &shard, Routing::new(1), ShardId(0));
            let longer = Key::new(&input[24..24 + key.len() + 3]).unwrap();
            assert_eq!(ahead.seek(longer, &shard).hash(), shard.hash(longer));
        }
    }

    #[test]
    fn a_line_that_has_not_ended_is_not_looked_at() {
        let shard = shard();
        for line in ["get key\r\n", "mg key v\r\n", "mg key O1\r\n"] {
            for cut in 0..line.len() {
                let input = [line, &line[..cut]].concat();
                let mut ahead = LookAhead::new();
                ahead.over_input(input.as_bytes(), &shard, Routing::new(1), ShardId(0));
                assert_eq!(ahead.len, 1, "{input:?}");
            }
        }
    }

    #[test]
    fn single_requests_of_several_inputs_are_foreseen_whatever_becomes_of_others() {
        let shard = shard();
        let hash = |key| shard.hash(Key::new(key).unwrap());
        let inputs: [&[u8]; 7] = [
            b"get a\r\n",
            b"get b\r\nget c\r\n",
            b"mg d v\r\n",
            b"set e 0 0 1\r\n1\r\n",
            b"stats\r\n",
            b"get f",
            b"get g\r\n",
        ];
        // Whoever does not come, or does something else, keeps no other from being found.
        for gone in 0..inputs.len() {
            let mut ahead = LookAhead::new();
            ahead.over_inputs(inputs.into_iter(), &shard, Routing::new(1), ShardId(0));
            assert_eq!(ahead.len, 4);
            for (number, input) in inputs.iter().enumerate().filter(|(number, _)| *number != gone) {
                assert_eq!(ahead.is_used_up(input), [1, 4, 5].contains(&number), "{number}");
                let (key, start) = (&input[input.len().min(3)..], 4);
                let found = ahead.next_get(input).map(|get| (get.key.as_bytes(), get.sought.hash(), get.line_len));
                match number {
                    0 | 6 => assert_eq!(found, Some((&key[1..2], hash(&key[1..2]), 7))),
                    2 => assert_eq!(found, Some((&key[..1], hash(&key[..1]), 8))),
                    _ => assert_eq!(found, None),
                }
                if number == 3 {
                    let key = Key::new(&input[start..=start]).unwrap();
                    assert_eq!(ahead.seek(key, &shard).hash(), hash(b"e"));
                }
                assert!(!ahead.is_used_up(&input[input.len()..]), "what is over needs no look");
                ahead.end_input();
            }
            ahead.reset();
            assert!(ahead.next_get(inputs[0]).is_none());
        }
    }

    #[test]
    fn packets_are_looked_at_up_to_one_that_is_not_whole_or_has_no_key() {
        let shard = shard();
        let packet = |key: &[u8], value: &[u8]| {
            let mut bytes = Vec::new();
            let body_len = u32::try_from(8 + key.len() + value.len()).unwrap();
            let key_len = u16::try_from(key.len()).unwrap();
            Header { magic: REQUEST_MAGIC, extras_len: 8, key_len, body_len, ..Header::default() }.write(&mut bytes);
            bytes.extend_from_slice(&[b"extras..", key, value].concat());
            bytes
        };
        let [one, two] = [packet(b"one", b"value"), packet(b"two", b"")];
        for last in [&packet(b"", b"")[..], &packet(b"key", b"value")[..30], b"get key\r\n", b""] {
            let input = [&one[..], &two, last].concat();
            let mut ahead = LookAhead::new();
            ahead.over_input(&input, &shard, Routing::new(1), ShardId(0));
            assert_eq!(ahead.len, 2);
            assert!(!ahead.is_used_up(&input[one.len()..]) && ahead.is_used_up(&input[one.len() + two.len()..]));
            for (start, len) in [(32, 3), (one.len() + 32, 3)] {
                let key = Key::new(&input[start..start + len]).unwrap();
                assert_eq!(ahead.seek(key, &shard).hash(), shard.hash(key));
            }
            assert_eq!(ahead.next, 2);
        }
    }

    #[test]
    fn lines_of_other_cores_are_looked_at_once() {
        let shard = shard();
        let nobody = ShardId(2);
        let input = b"get a\r\n".repeat(LOOK_AHEAD_KEYS + 1);
        let mut ahead = LookAhead::new();
        assert!(ahead.is_used_up(&input));
        ahead.over_input(&input, &shard, Routing::new(2), nobody);
        for line in 0..LOOK_AHEAD_KEYS {
            assert!(!ahead.is_used_up(&input[line * 7..]), "line {line}");
        }
        assert!(ahead.is_used_up(&input[LOOK_AHEAD_KEYS * 7..]));
    }
}
