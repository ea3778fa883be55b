//! What the items of a shard take of the budget: segments and tables. Large values take theirs themselves.

use super::items::Items;
use super::large::LargeValues;
use crate::memory::NoMemory;
use crate::terms::KeyHash;

impl Items {
    /// Frees the memory of free segments, up to `count`, and gives it back to budget and kernel. How many.
    pub(super) fn release_segments(&mut self, count: usize) -> usize {
        for released in 0..count {
            let Some(id) = self.segments.release() else { return released };
            self.arena.discard(id as usize * self.segment_len(), self.segment_len());
            self.budget.give(self.segment_cost());
        }
        count
    }

    /// Takes memory for another segment out of the budget, if there is some.
    pub(super) fn add_segment(&mut self) -> bool {
        if !self.segments.can_add() || !self.budget.take(self.segment_cost()) {
            return false;
        }
        self.segments.add().is_some()
    }

    /// Takes what the index is about to grow by out of the budget, if it is there and not taken yet.
    pub(super) fn take_for_index(&mut self, hash: KeyHash) -> bool {
        let growth = self.index.growth_bytes(hash);
        if growth == 0 {
            return true;
        }
        let bytes = (self.index.bytes() + self.large.table_bytes() + growth).saturating_sub(self.charged_tables);
        let taken = self.budget.take(bytes);
        if taken {
            self.charged_tables += bytes;
        }
        taken
    }

    /// Makes sure that the table of large values has a slot for another one, if the budget has what that takes.
    pub(super) fn prepare_large(&mut self) -> Result<(), NoMemory> {
        let slots = self.large.slots_wanted();
        let bytes = LargeValues::bytes_of(slots);
        if bytes > 0 {
            if !self.budget.take(bytes) {
                return Err(NoMemory::Limit);
            }
            self.charged_tables += bytes;
            self.large.add_slots(slots);
        }
        Ok(())
    }

    /// Makes what is taken of the budget for tables what they are.
    pub(super) fn settle_tables(&mut self) {
        let bytes = self.index.bytes() + self.large.table_bytes();
        if bytes > self.charged_tables {
            self.budget.take_anyway(bytes - self.charged_tables);
        } else if bytes < self.charged_tables {
            self.budget.give(self.charged_tables - bytes);
        }
        self.charged_tables = bytes;
    }
}
