//! Requests encoded beforehand: the line of a text `get` of every key.

use std::ops::Range;

/// Tables larger than this are not made: a line is as soon written as fetched from beyond the core's own cache. Against the
/// echo server at depth 16 a table of 10,000 keys of 16 bytes (220 KiB) takes no more time than writing them, one of
/// 100,000 keys a fifth more, one of a million two fifths more.
const LEN_MAX: usize = 256 << 10;
const VERB: &[u8; 4] = b"get ";
const END: &[u8; 2] = b"\r\n";

/// One line per key, all equally long. The key within it serves the other requests.
pub(super) struct Lines {
    bytes: Vec<u8>,
    key_len: usize,
}

impl Lines {
    /// `push_key` writes a key of `key_len` bytes. `None` if it would be too much.
    pub(super) fn new(count: u64, key_len: usize, mut push_key: impl FnMut(u64, &mut Vec<u8>)) -> Option<Lines> {
        let len = usize::try_from(count).ok()?.checked_mul(line_len(key_len)).filter(|len| *len <= LEN_MAX)?;
        let mut bytes = Vec::with_capacity(len);
        for key in 0..count {
            bytes.extend_from_slice(VERB);
            push_key(key, &mut bytes);
            bytes.extend_from_slice(END);
        }
        debug_assert_eq!(bytes.len(), len);
        Some(Lines { bytes, key_len })
    }

    /// The request that gets a key.
    #[inline]
    pub(super) fn get(&self, key: u64) -> Option<&[u8]> {
        self.part(key, 0..line_len(self.key_len))
    }

    /// The key itself.
    #[inline]
    pub(super) fn name(&self, key: u64) -> Option<&[u8]> {
        self.part(key, VERB.len()..VERB.len() + self.key_len)
    }

    #[inline]
    fn part(&self, key: u64, part: Range<usize>) -> Option<&[u8]> {
        let start = usize::try_from(key).ok()?.checked_mul(line_len(self.key_len))?;
        self.bytes.get(start + part.start..start + part.end)
    }
}

const fn line_len(key_len: usize) -> usize {
    VERB.len() + key_len + END.len()
}
