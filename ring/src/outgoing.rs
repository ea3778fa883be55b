//! Bytes on their way out: what is left of one send, and how to say it to the kernel.
#![allow(unsafe_code, reason = "a zeroed msghdr; the addresses made here are lent under kernel.rs's rule")]

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use io_uring::{opcode, squeue, types};

use crate::event::Chunk;

/// How many chunks one operation carries; the kernel copies that many addresses on its stack without allocating less.
const CHUNKS_PER_OPERATION: usize = 64;
/// How many bytes one operation carries, so that a result always fits the kernel's signed 32 bits.
const BYTES_PER_OPERATION: usize = 1 << 30;

/// One send. The bytes live on the heap behind it, so it may move while the kernel reads them.
pub(crate) enum Outgoing {
    One { bytes: Vec<u8>, sent: usize },
    Many(Box<Gathered>),
}

/// Several chunks and the message header that names them. Boxed: the kernel reads the header where it stands.
pub(crate) struct Gathered {
    chunks: Vec<Chunk>,
    /// Chunks before this one are sent.
    first: usize,
    /// Bytes of the first chunk that are sent.
    offset: usize,
    header: libc::msghdr,
    vectors: [libc::iovec; CHUNKS_PER_OPERATION],
}

impl Outgoing {
    pub(crate) fn one(bytes: Vec<u8>) -> Outgoing {
        Outgoing::One { bytes, sent: 0 }
    }

    /// `spare` is a former list of addresses to use again.
    pub(crate) fn many(chunks: Vec<Chunk>, spare: Option<Box<Gathered>>) -> Outgoing {
        let mut gathered = spare.unwrap_or_else(Gathered::empty);
        gathered.chunks = chunks;
        gathered.first = 0;
        gathered.offset = 0;
        let mut outgoing = Outgoing::Many(gathered);
        outgoing.advance(0);
        outgoing
    }

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Outgoing::One { bytes, sent } => *sent >= bytes.len(),
            Outgoing::Many(gathered) => gathered.first >= gathered.chunks.len(),
        }
    }

    /// The operation that sends as much of the rest as one operation can, and how much that is. The entry holds
    /// addresses of memory owned by `self`; the caller keeps `self` whole and untouched until its completion.
    pub(crate) fn operation(&mut self, fd: BorrowedFd<'_>, flags: i32) -> (squeue::Entry, usize) {
        let fd = types::Fd(fd.as_raw_fd());
        match self {
            Outgoing::One { bytes, sent } => {
                let rest = &bytes[*sent..];
                let len = rest.len().min(BYTES_PER_OPERATION);
                let len_u32 = u32::try_from(len).unwrap_or(u32::MAX);
                (opcode::Send::new(fd, rest.as_ptr(), len_u32).flags(flags).build(), len)
            }
            Outgoing::Many(gathered) => {
                let len = gathered.fill();
                let header = &raw const gathered.header;
                (opcode::SendMsg::new(fd, header).flags(flags.cast_unsigned()).build(), len)
            }
        }
    }

    /// Notes that `len` more bytes are sent.
    pub(crate) fn advance(&mut self, len: usize) {
        match self {
            Outgoing::One { bytes, sent } => *sent = bytes.len().min(*sent + len),
            Outgoing::Many(gathered) => gathered.advance(len),
        }
    }
}

impl Gathered {
    fn empty() -> Box<Gathered> {
        // SAFETY: msghdr is a C struct of integers and raw pointers, for which all zeroes is a value.
        let header = unsafe { mem::zeroed() };
        let vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; CHUNKS_PER_OPERATION];
        Box::new(Gathered { chunks: Vec::new(), first: 0, offset: 0, header, vectors })
    }

    pub(crate) fn take_chunks(&mut self) -> Vec<Chunk> {
        mem::take(&mut self.chunks)
    }

    /// Writes the addresses of the next operation; tells how many bytes they cover.
    fn fill(&mut self) -> usize {
        let mut total = 0;
        let mut count = 0;
        let mut offset = self.offset;
        for chunk in &self.chunks[self.first..] {
            let rest = &chunk.as_ref()[offset..];
            offset = 0;
            if count == CHUNKS_PER_OPERATION || total == BYTES_PER_OPERATION {
                break;
            }
            let len = rest.len().min(BYTES_PER_OPERATION - total);
            // The kernel only reads through it; iovec has no pointer to constant memory to say so.
            self.vectors[count] = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: len };
            count += 1;
            total += len;
            if len < rest.len() {
                break;
            }
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = count as _;
        total
    }

    fn advance(&mut self, mut len: usize) {
        while let Some(chunk) = self.chunks.get(self.first) {
            let rest = chunk.as_ref().len() - self.offset;
            if len < rest {
                self.offset += len;
                return;
            }
            len -= rest;
            self.first += 1;
            self.offset = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_crosses_chunks_and_skips_empty_ones() {
        let chunks = ["", "abc", "", "", "defg", ""].map(|text| Chunk::Owned(text.into())).into();
        let mut outgoing = Outgoing::many(chunks, None);
        let mut left = 7;
        while !outgoing.is_done() {
            let Outgoing::Many(gathered) = &mut outgoing else { unreachable!() };
            assert_eq!(gathered.fill(), left);
            outgoing.advance(1);
            left -= 1;
        }
        assert_eq!(left, 0);
        assert!(Outgoing::many(vec![Chunk::Owned(Vec::new())], None).is_done());
        assert!(Outgoing::many(Vec::new(), None).is_done());
    }

    #[test]
    fn one_operation_carries_a_bounded_number_of_chunks() {
        let chunks = (0..150).map(|_| Chunk::Shared("xy".into())).collect();
        let mut outgoing = Outgoing::many(chunks, None);
        for expected in [128, 128, 44] {
            let Outgoing::Many(gathered) = &mut outgoing else { unreachable!() };
            assert_eq!(gathered.fill(), expected);
            outgoing.advance(expected);
        }
        assert!(outgoing.is_done());
    }
}
