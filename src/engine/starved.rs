//! Values that arrive and find no memory: their conversations wait until the shards have given some back.

use super::{Engine, find};
use crate::engine::conversation::Conversation;
use crate::limits::VALUE_WAIT_MS;
use crate::memory::NoMemory;
use crate::session::MemoryWait;
use crate::store::{OutOfMemory, Room};

impl Conversation<'_> {
    /// Without a frame, with so many bytes of input at hand: whether there is something to go on with all the same,
    /// because a value that arrives has found memory, or was given up.
    #[inline]
    pub(super) fn goes_on_with_memory(&mut self, at_hand: usize) -> bool {
        at_hand > 0 && self.find_memory(at_hand)
    }

    /// A value has arrived that may have waited for memory: what is still asked for it is needed no more.
    #[inline]
    pub(super) fn end_memory_wait(&mut self) {
        if self.session.memory_wait.take().is_some() {
            self.node.shard.unwish_memory();
        }
    }

    #[cold]
    #[inline(never)]
    fn find_memory(&mut self, at_hand: usize) -> bool {
        let Some(lack) = self.session.framing.lack() else { return false };
        let now_ms = self.node.now.monotonic_ms;
        let until_ms = match self.session.memory_wait {
            Some(wait) if wait.arrived == lack.arrived => wait.until_ms,
            _ => now_ms + VALUE_WAIT_MS,
        };
        let found = match lack.why {
            // Address space, which does not come back by itself.
            NoMemory::Room => Err(OutOfMemory),
            NoMemory::Limit => {
                let next = at_hand.min(lack.missing);
                self.node.shard.find_memory(next, lack.arrived, lack.missing, self.node.now)
            }
        };
        match found {
            Ok(Room::Here) => true,
            Ok(Room::Asked) if now_ms < until_ms => {
                self.session.memory_wait = Some(MemoryWait { arrived: lack.arrived, until_ms, is_on: true });
                self.node.starved.push(self.id);
                false
            }
            Ok(Room::Asked) | Err(OutOfMemory) => {
                self.end_memory_wait();
                self.session.framing.give_up();
                true
            }
        }
    }
}

impl Engine {
    /// Tries again with the values that wait for memory.
    pub(super) fn resume_starved(&mut self) {
        for id in std::mem::take(&mut self.node.starved) {
            let Some(connection) = find(&mut self.connections, id) else { continue };
            if let Some(wait) = &mut connection.session.memory_wait {
                wait.is_on = false;
            }
            self.resume(id);
            self.settle();
        }
    }
}
