//! The ring of buffers that incoming bytes land in. The kernel takes a buffer when it has bytes for it; the owner of
//! the [`Filled`] gives it back. At any time a buffer is the kernel's, spare, or behind exactly one `Filled`.
//!
//! The kernel fills buffers in the order it was given them, so the more it has, the longer ago each was in a cache. It
//! therefore has about twice as many as a turn takes, the last given back first, and the rest stay spare until then.
#![allow(unsafe_code, reason = "memory shared with the kernel; each block says who holds the buffer")]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The group of buffers that the bytes of connections land in.
pub(crate) const GROUP: u16 = 0;
/// The group that datagrams land in.
pub(crate) const DATAGRAM_GROUP: u16 = 1;

/// The kernel has at least so many buffers, if there are.
const HOT_MIN: u16 = 32;
/// After so many turns the kernel has no more buffers than twice what one of them took.
const TURNS_REMEMBERED: u16 = 1024;
/// Between one buffer and the next, bytes: buffers at multiples of a page would compete for the same lines of a cache
/// with their beginnings, which is where most input is. Three lines, so that the beginnings use all sets in turn.
const STAGGER: usize = 3 * 64;

/// One buffer with bytes in it, taken out of the kernel's hands.
#[derive(Debug)]
pub(crate) struct Filled {
    /// Which [`Buffers`] it is from: the same number means another memory elsewhere.
    owner: u32,
    buffer: u16,
    len: u32,
}

impl Filled {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }
}

/// Invariant: `available`, which the kernel may take, + spare ones + `Filled` values outstanding = `count`.
pub(crate) struct Buffers {
    owner: u32,
    group: u16,
    /// `count` entries, page aligned, read by the kernel up to the published tail.
    entries: NonNull<BufRingEntry>,
    /// `count` buffers of `buffer_len` bytes, each `stride` after the one before.
    memory: NonNull<u8>,
    mapping_len: usize,
    count: u16,
    buffer_len: u32,
    stride: usize,
    /// Where the next buffer is given back; published is what the kernel knows of.
    tail: u16,
    published: u16,
    available: u16,
    /// Buffers that nobody has; the last given back is the first to be used again.
    spare: Vec<u16>,
    /// As many as this the kernel shall have.
    wanted: u16,
    /// Taken since the last [`publish`](Self::publish), and the most that was taken between two of them of late.
    taken: u16,
    peak: u16,
    turns: u16,
}

impl Buffers {
    /// Maps the memory and hands the first buffers to the kernel behind `submitter`. `count` is a power of two. Memory
    /// is there when it is first used.
    pub(crate) fn register(submitter: &Submitter<'_>, group: u16, count: u16, buffer_len: u32) -> io::Result<Buffers> {
        static OWNERS: AtomicU32 = AtomicU32::new(0);

        let entries_len = (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(4096);
        let stride = (buffer_len as usize).next_multiple_of(64) + STAGGER;
        let mapping_len = entries_len + usize::from(count) * stride;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), mapping_len, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(base) = NonNull::new(base.cast::<u8>()) else {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        };
        let mut buffers = Buffers {
            owner: OWNERS.fetch_add(1, Ordering::Relaxed),
            group,
            entries: base.cast(),
            // SAFETY: the mapping is `entries_len` plus the buffers long.
            memory: unsafe { base.add(entries_len) },
            mapping_len,
            count,
            buffer_len,
            stride,
            tail: 0,
            published: 0,
            available: 0,
            spare: (0..count).rev().collect(),
            wanted: count.min(HOT_MIN),
            taken: 0,
            peak: 0,
            turns: 0,
        };
        // SAFETY: the entries are zeroed, page aligned and mapped for as long as `buffers` lives, which Kernel makes
        // longer than any operation that could take a buffer.
        unsafe { submitter.register_buf_ring_with_flags(base.as_ptr() as u64, count, group, 0)? };
        buffers.publish();
        Ok(buffers)
    }

    pub(crate) fn group(&self) -> u16 {
        self.group
    }

    /// How many buffers the kernel has or may have from the next [`publish`](Self::publish)es on.
    pub(crate) fn available(&self) -> usize {
        usize::from(self.available) + self.spare.len()
    }

    /// Takes the buffer that a completion reported as filled. The kernel reports each at most once per time it is given.
    pub(crate) fn take(&mut self, buffer: u16, len: i32) -> Filled {
        assert!(buffer < self.count && self.available > 0, "the kernel filled a buffer it does not have");
        self.available -= 1;
        self.taken = self.taken.saturating_add(1);
        let len = u32::try_from(len).unwrap_or(0).min(self.buffer_len);
        Filled { owner: self.owner, buffer, len }
    }

    pub(crate) fn bytes<'a>(&'a self, filled: &'a Filled) -> &'a [u8] {
        assert_eq!(self.owner, filled.owner, "bytes received by another ring");
        // SAFETY: `take` bounded the number and the length. The buffer is out of the kernel's hands while `filled`
        // exists, and it lives at least as long as the result: giving it back takes `filled` by value. The memory is
        // initialised: anonymous mappings start as zeroes.
        unsafe { std::slice::from_raw_parts(self.at(filled.buffer).as_ptr(), filled.len()) }
    }

    /// Gives a buffer back; the kernel may have it from the next [`publish`](Self::publish) on.
    #[expect(clippy::needless_pass_by_value, reason = "who gives a buffer back must not keep it")]
    pub(crate) fn give_back(&mut self, filled: Filled) {
        assert_eq!(self.owner, filled.owner, "bytes received by another ring");
        self.spare.push(filled.buffer);
    }

    /// Lets the kernel have as many buffers as the next turn may take. Once a turn is enough.
    pub(crate) fn publish(&mut self) {
        self.peak = self.peak.max(self.taken);
        self.taken = 0;
        self.turns += 1;
        let for_peak = self.count.min(self.peak.saturating_mul(2).max(HOT_MIN));
        if self.turns >= TURNS_REMEMBERED {
            self.wanted = for_peak;
            (self.turns, self.peak) = (0, 0);
        } else {
            self.wanted = self.wanted.max(for_peak);
        }
        while self.available < self.wanted
            && let Some(buffer) = self.spare.pop()
        {
            self.put(buffer);
        }
        if self.published == self.tail {
            return;
        }
        self.published = self.tail;
        // SAFETY: the tail lies in the first entry of the mapping, aligned to two bytes, and the kernel reads it
        // atomically. Release orders it after the entries written by `put`.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    fn put(&mut self, buffer: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        let address = self.at(buffer).as_ptr() as u64;
        // SAFETY: the slot is inside the mapping. The kernel does not read it before `publish`: at most `count` buffers
        // are out, so it has consumed what the slot held before. The setters leave the bytes of the tail alone.
        let entry = unsafe { self.entries.add(slot).as_mut() };
        entry.set_addr(address);
        entry.set_len(self.buffer_len);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.available += 1;
    }

    fn at(&self, buffer: u16) -> NonNull<u8> {
        // SAFETY: every buffer number in use is below `count`, so the result is inside the mapping.
        unsafe { self.memory.add(usize::from(buffer) * self.stride) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing of ours points into it any more. Kernel drops this only when no
        // operation that could take a buffer is in flight; otherwise it forgets it.
        unsafe { libc::munmap(self.entries.as_ptr().cast(), self.mapping_len) };
    }
}
