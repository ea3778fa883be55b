//! A value on its way into memory of its own.

use crate::memory::{LargeMemory, LargeValue, NoMemory};

/// What of a value has arrived, in memory that becomes the item's: nothing is copied when the last byte is there, and
/// every page that has arrived is counted in `-m`. An announcement alone takes nothing.
#[derive(Debug)]
pub(super) struct Arriving {
    value: Option<LargeValue>,
    value_len: usize,
    /// What follows the value, and how long that is.
    tail: [u8; 2],
    tail_len: usize,
    /// Bytes that have arrived, of value and tail.
    arrived: usize,
    lack: Option<NoMemory>,
}

/// Why a value does not go on arriving.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lack {
    /// What is lacking.
    pub why: NoMemory,
    /// Bytes of the value that have arrived.
    pub arrived: usize,
    /// Bytes of the value that are still to come.
    pub missing: usize,
}

impl Arriving {
    /// A value of which nothing has arrived yet, with so many bytes behind it that do not belong to it.
    pub(super) const fn new(value_len: usize, tail_len: usize) -> Self {
        Self { value: None, value_len, tail: [0; 2], tail_len, arrived: 0, lack: None }
    }

    /// Takes what `input` holds of it, and says how much that was: nothing if there is no memory, see
    /// [`Arriving::lack`].
    pub(super) fn take(&mut self, input: &[u8], memory: &mut LargeMemory) -> usize {
        let of_value = &input[..input.len().min(self.value_len.saturating_sub(self.arrived))];
        self.lack = self.write(of_value, memory).err();
        if self.lack.is_some() {
            return 0;
        }
        self.arrived += of_value.len();
        let of_tail = &input[of_value.len()..][..(input.len() - of_value.len()).min(self.missing())];
        for &byte in of_tail {
            self.tail[self.arrived - self.value_len] = byte;
            self.arrived += 1;
        }
        of_value.len() + of_tail.len()
    }

    fn write(&mut self, bytes: &[u8], memory: &mut LargeMemory) -> Result<(), NoMemory> {
        if bytes.is_empty() {
            return Ok(());
        }
        let value = match &mut self.value {
            Some(value) => value,
            None => self.value.insert(memory.allocate(0, self.value_len)?),
        };
        value.write(bytes)
    }

    /// Bytes still to come, what follows the value included.
    pub(super) const fn missing(&self) -> usize {
        self.value_len + self.tail_len - self.arrived
    }

    /// What the last call of [`Arriving::take`] had no memory for.
    pub(super) fn lack(&self) -> Option<Lack> {
        let missing = self.value_len.saturating_sub(self.arrived);
        self.lack.map(|why| Lack { why, arrived: self.arrived, missing })
    }

    /// Bytes of memory held.
    pub(super) fn held(&self) -> usize {
        self.value.as_ref().map_or(0, LargeValue::charge)
    }

    /// What followed the value.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail[..self.tail_len]
    }

    /// Whether all of it has arrived.
    pub(super) const fn is_whole(&self) -> bool {
        self.missing() == 0
    }

    /// The value; afterwards it is gone from here. `None` if nothing has arrived.
    pub(super) fn take_value(&mut self) -> Option<LargeValue> {
        let mut value = self.value.take()?;
        value.show();
        Some(value)
    }
}
