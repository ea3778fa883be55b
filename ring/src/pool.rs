//! Memory kept for the next send. Last in, first out, so that what is used is warm in the cache.

use crate::event::Chunk;
use crate::outgoing::{Gathered, Outgoing};

/// How many buffers are kept; more than this are in use at once only while many peers do not read.
const BUFFERS_MAX: usize = 256;
/// A new buffer's size: one page, since a pipelined batch of small replies fits and an idle one wastes little.
const BUFFER_LEN: usize = 4096;
/// A buffer that had to grow beyond this is not kept: one large reply would pin its memory for good.
const BUFFER_LEN_MAX: usize = 64 << 10;
/// How many lists of chunks, and of their addresses, are kept.
const LISTS_MAX: usize = 64;
/// A longer list is not kept.
const LIST_LEN_MAX: usize = 256;

#[derive(Default)]
pub(crate) struct Pool {
    buffers: Vec<Vec<u8>>,
    lists: Vec<Vec<Chunk>>,
    #[expect(clippy::vec_box, reason = "they are used boxed: the kernel reads them where they stand")]
    gathered: Vec<Box<Gathered>>,
}

impl Pool {
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_LEN))
    }

    pub(crate) fn give_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < BUFFERS_MAX && (BUFFER_LEN..=BUFFER_LEN_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    pub(crate) fn take_chunks(&mut self) -> Vec<Chunk> {
        self.lists.pop().unwrap_or_default()
    }

    pub(crate) fn give_chunks(&mut self, mut chunks: Vec<Chunk>) {
        for chunk in chunks.drain(..) {
            if let Chunk::Owned(buffer) = chunk {
                self.give_buffer(buffer);
            }
        }
        if self.lists.len() < LISTS_MAX && (1..=LIST_LEN_MAX).contains(&chunks.capacity()) {
            self.lists.push(chunks);
        }
    }

    pub(crate) fn gather(&mut self, chunks: Vec<Chunk>) -> Outgoing {
        Outgoing::many(chunks, self.gathered.pop())
    }

    /// Takes back what a finished or abandoned send was made of.
    pub(crate) fn recycle(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::One { bytes, .. } => self.give_buffer(bytes),
            Outgoing::Many(mut gathered) => {
                let chunks = gathered.take_chunks();
                self.give_chunks(chunks);
                if self.gathered.len() < LISTS_MAX {
                    self.gathered.push(gathered);
                }
            }
        }
    }
}
