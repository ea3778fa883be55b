//! Reply bytes on their way out: small ones copied into a buffer, large values by handle.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;

/// A piece of a reply.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes written for this reply.
    Owned(Vec<u8>),
    /// A stored value, shared with the store.
    Shared(Bytes),
}

impl Chunk {
    /// The bytes of the piece.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Reply bytes in order.
///
/// Invariant: `len` is the bytes of all `sealed` chunks plus those of `tail`, less the first `taken`, which have been
/// moved out of the front already.
#[derive(Debug, Default)]
pub struct Output {
    sealed: VecDeque<Chunk>,
    tail: Vec<u8>,
    taken: usize,
    len: usize,
}

impl Output {
    /// An output that writes into `buffer`, whose contents are dropped and whose memory is used.
    pub fn with_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { tail: buffer, ..Self::default() }
    }

    /// Bytes waiting.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the output holds memory to write into.
    pub const fn has_buffer(&self) -> bool {
        self.tail.capacity() > 0
    }

    /// Writes through `write`, which may only add to the buffer it is given.
    #[inline]
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.len += self.tail.len() - before;
    }

    /// Adds a copy of `bytes`.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Adds `bytes` by handle.
    pub fn put_shared(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.seal();
        self.len += bytes.len();
        self.sealed.push_back(Chunk::Shared(bytes));
    }

    /// Moves all of `other` to the end, and leaves it empty with its buffer.
    pub fn append(&mut self, other: &mut Self) {
        other.move_front(other.len, self);
    }

    /// Moves the first `count` bytes to the end of `into`. Shared chunks move whole: `count` ends between pieces that
    /// were put, never within a shared one.
    #[inline]
    pub fn move_front(&mut self, count: usize, into: &mut Self) {
        // One of several small answers, as nearly always.
        if self.sealed.is_empty() && count < self.len {
            into.put(&self.tail[self.taken..self.taken + count]);
            self.taken += count;
            self.len -= count;
        } else {
            self.move_chunks(count, into);
        }
    }

    fn move_chunks(&mut self, mut count: usize, into: &mut Self) {
        self.len -= count;
        while count > 0 {
            match self.sealed.pop_front() {
                Some(Chunk::Shared(bytes)) => {
                    count -= bytes.len();
                    into.put_shared(bytes);
                }
                Some(Chunk::Owned(bytes)) => {
                    let moved = count.min(bytes.len() - self.taken);
                    into.put(&bytes[self.taken..self.taken + moved]);
                    count -= moved;
                    self.taken += moved;
                    if self.taken < bytes.len() {
                        self.sealed.push_front(Chunk::Owned(bytes));
                    } else {
                        self.taken = 0;
                    }
                }
                None => {
                    into.put(&self.tail[self.taken..self.taken + count]);
                    self.taken += count;
                    count = 0;
                }
            }
        }
        if self.len == 0 {
            self.clear();
        }
    }

    /// Drops everything, keeping the buffer.
    pub fn clear(&mut self) {
        self.sealed.clear();
        self.tail.clear();
        self.taken = 0;
        self.len = 0;
    }

    /// Takes everything out if it stands in one buffer, which is the usual case.
    pub fn take_single(&mut self) -> Option<Vec<u8>> {
        if !self.sealed.is_empty() || self.taken > 0 {
            return None;
        }
        self.len = 0;
        Some(mem::take(&mut self.tail))
    }

    /// Takes everything out, piece by piece.
    pub fn take_chunks(&mut self) -> Vec<Chunk> {
        self.seal();
        if self.taken > 0
            && let Some(Chunk::Owned(first)) = self.sealed.front_mut()
        {
            first.drain(..self.taken);
        }
        self.taken = 0;
        self.len = 0;
        self.sealed.drain(..).collect()
    }

    /// Everything as one run of bytes; for tests and small replies.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all: Vec<u8> = self.sealed.iter().flat_map(Chunk::as_bytes).copied().collect();
        all.extend_from_slice(&self.tail);
        all.split_off(self.taken)
    }

    /// Gives back the buffer's memory if it is beyond `capacity_max`.
    pub fn shrink(&mut self, capacity_max: usize) {
        if self.is_empty() && self.tail.capacity() > capacity_max {
            self.tail = Vec::new();
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.sealed.push_back(Chunk::Owned(mem::take(&mut self.tail)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply of two values, the second shared, and an end.
    fn two_values() -> Output {
        let mut output = Output::default();
        output.put(b"first,");
        output.put(b"head:");
        output.put_shared(Bytes::from_static(b"SHARED"));
        output.put(b"\r\n");
        output.put(b"END");
        output
    }

    #[test]
    fn pieces_keep_their_order_wherever_they_are_moved() {
        for cut in [0, 3, 6, 11, 17, 19, 22] {
            let mut from = two_values();
            let mut into = Output::default();
            into.put(b"before ");
            from.move_front(cut, &mut into);
            assert_eq!(from.len(), 22 - cut);
            assert_eq!(from.to_vec().len(), from.len());
            into.append(&mut from);
            assert_eq!(into.to_vec(), b"before first,head:SHARED\r\nEND", "cut at {cut}");
            assert_eq!(into.len(), 29);
            assert!(from.is_empty());
        }
    }

    #[test]
    fn what_is_taken_is_what_was_put() {
        let mut output = two_values();
        assert!(output.take_single().is_none());
        let chunks = output.take_chunks();
        let all: Vec<u8> = chunks.iter().flat_map(Chunk::as_bytes).copied().collect();
        assert_eq!(all, b"first,head:SHARED\r\nEND");
        assert!(output.is_empty());

        output.put(b"small");
        assert_eq!(output.take_single().unwrap(), b"small");

        let mut output = two_values();
        output.move_front(8, &mut Output::default());
        let chunks = output.take_chunks();
        let all: Vec<u8> = chunks.iter().flat_map(Chunk::as_bytes).copied().collect();
        assert_eq!(all, b"ad:SHARED\r\nEND");
    }
}
