//! The values of a shard that live in memory of their own, by number: the number stands in the item.

use crate::memory::LargeValue;

/// A table of values with stable numbers.
#[derive(Debug, Default)]
pub(super) struct LargeValues {
    slots: Vec<Slot>,
    free: Option<u32>,
    /// Bytes of memory of all values.
    charge: usize,
}

/// A table has none or at least so many.
const SLOTS_MIN: usize = 4;

#[derive(Debug)]
enum Slot {
    Used(LargeValue),
    Free { next: Option<u32> },
}

impl LargeValues {
    /// Bytes of memory of all values.
    pub(super) const fn charge(&self) -> usize {
        self.charge
    }

    /// Bytes of the table.
    pub(super) const fn table_bytes(&self) -> usize {
        Self::bytes_of(self.slots.capacity())
    }

    /// The slots that have to be added before the next value comes.
    pub(super) fn slots_wanted(&self) -> usize {
        let is_full = self.free.is_none() && self.slots.len() == self.slots.capacity();
        if is_full { self.slots.len().max(SLOTS_MIN) } else { 0 }
    }

    /// Bytes of so many slots.
    pub(super) const fn bytes_of(slots: usize) -> usize {
        slots * size_of::<Slot>()
    }

    pub(super) fn add_slots(&mut self, count: usize) {
        self.slots.reserve_exact(count);
    }

    pub(super) fn insert(&mut self, value: LargeValue) -> u32 {
        self.charge += value.charge();
        if let Some(number) = self.free {
            let slot = &mut self.slots[number as usize];
            if let Slot::Free { next } = *slot {
                self.free = next;
            }
            *slot = Slot::Used(value);
            return number;
        }
        self.slots.push(Slot::Used(value));
        u32::try_from(self.slots.len() - 1).expect("a value takes a page at least, and 2^32 of those are no machine's")
    }

    pub(super) fn remove(&mut self, number: u32) -> LargeValue {
        let slot = std::mem::replace(&mut self.slots[number as usize], Slot::Free { next: self.free });
        self.free = Some(number);
        match slot {
            Slot::Used(value) => {
                self.charge -= value.charge();
                value
            }
            Slot::Free { .. } => unreachable!("an item's value is there"),
        }
    }

    pub(super) fn get(&self, number: u32) -> &LargeValue {
        match &self.slots[number as usize] {
            Slot::Used(value) => value,
            Slot::Free { .. } => unreachable!("an item's value is there"),
        }
    }

    /// Changes a value. How many bytes of memory it takes now, and took before.
    pub(super) fn change<R>(&mut self, number: u32, change: impl FnOnce(&mut LargeValue) -> R) -> (R, usize, usize) {
        match &mut self.slots[number as usize] {
            Slot::Used(value) => {
                let before = value.charge();
                let result = change(value);
                let after = value.charge();
                self.charge = self.charge - before + after;
                (result, before, after)
            }
            Slot::Free { .. } => unreachable!("an item's value is there"),
        }
    }

    /// Asserts that there are `count` values and that their sum is the sum.
    pub(super) fn verify(&self, count: usize) {
        let used =
            || self.slots.iter().filter_map(|slot| if let Slot::Used(value) = slot { Some(value) } else { None });
        assert_eq!(used().count(), count, "values and items that have one");
        assert_eq!(used().map(LargeValue::charge).sum::<usize>(), self.charge, "bytes of values");
    }
}
