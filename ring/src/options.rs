//! The sizes of a ring.

use std::io;

/// The sizes of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Submission queue entries: how many operations one turn can queue before it must submit in between.
    pub entries: u32,
    /// Completion queue entries; more completions than this at once cost extra calls, but are not lost.
    pub completion_entries: u32,
    /// How many buffers incoming bytes can land in, for all connections together: a power of two up to 32768.
    pub buffers: u16,
    /// The size of each of them in bytes.
    pub buffer_len: u32,
    /// How many datagrams may wait to be looked at: a power of two up to 32768. Their memory, 64 KiB each, is taken
    /// only by a ring that has datagram sockets, and only as it is used.
    pub datagram_buffers: u16,
}

impl Default for Options {
    fn default() -> Options {
        Options { entries: 1024, completion_entries: 16384, buffers: 512, buffer_len: 8192, datagram_buffers: 64 }
    }
}

impl Options {
    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !self.buffers.is_power_of_two() || !self.datagram_buffers.is_power_of_two() {
            return refuse("the number of receive buffers must be a power of two");
        }
        if self.buffer_len == 0 || self.buffer_len > 1 << 30 {
            return refuse("a receive buffer's length must be from 1 to 2^30 bytes");
        }
        if self.entries == 0 || self.completion_entries < self.entries {
            return refuse("a ring needs at least one entry, and as many completion entries");
        }
        Ok(())
    }
}
