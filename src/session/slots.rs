//! Replies in the order of their requests.
//!
//! A reply that is ready goes straight to the output as long as nothing before it is missing. A request that another
//! core answers reserves a slot; replies behind it wait in slots of their own until it is filled.

use std::collections::VecDeque;

use crate::protocol::Output;
use crate::session::batch::Batch;
use crate::session::letter::Letter;

/// The number of a slot: counts up over the life of the conversation.
pub type SlotNumber = u64;

/// Places of the queue that an idle conversation keeps memory for.
const PLACES_KEPT_MAX: usize = 32;

#[derive(Debug)]
enum Slot {
    /// Nothing of it is there.
    Waiting,
    /// Some of it is there, more will come.
    Open(Output),
    /// All of it is there.
    Ready(Output),
    /// Replies to several requests, some of which are under way.
    Batch(Box<Batch>),
}

/// The replies of one conversation that are not handed out yet.
///
/// Invariant: the slot at the head of the queue is never `Ready`, nor a batch that is; what was, is in `out`.
#[derive(Debug, Default)]
pub struct Slots {
    out: Output,
    queue: VecDeque<Slot>,
    head: SlotNumber,
    /// Bytes within `queue`.
    queued: usize,
    /// Batches whose replies have been handed out.
    joined: Vec<Box<Batch>>,
}

impl Slots {
    /// Reply bytes ready or waiting behind others.
    pub const fn buffered(&self) -> usize {
        self.out.len() + self.queued
    }

    /// Whether a reply is outstanding.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What may be sent.
    pub const fn out(&mut self) -> &mut Output {
        &mut self.out
    }

    /// Gives the output, which must be empty, memory to write into.
    pub fn set_buffer(&mut self, buffer: Vec<u8>) {
        if self.out.is_empty() {
            self.out = Output::with_buffer(buffer);
        }
    }

    /// Writes a reply that is ready now.
    #[inline]
    pub fn put(&mut self, write: impl FnOnce(&mut Output)) {
        if self.queue.is_empty() {
            write(&mut self.out);
        } else {
            self.put_behind(write);
        }
    }

    fn put_behind(&mut self, write: impl FnOnce(&mut Output)) {
        if !matches!(self.queue.back(), Some(Slot::Ready(_))) {
            self.queue.push_back(Slot::Ready(Output::default()));
        }
        if let Some(Slot::Ready(output)) = self.queue.back_mut() {
            let before = output.len();
            write(output);
            self.queued += output.len() - before;
        }
    }

    /// Keeps the place of a reply that will come.
    pub fn reserve(&mut self) -> SlotNumber {
        self.queue.push_back(Slot::Waiting);
        self.head + self.queue.len() as u64 - 1
    }

    /// Keeps the place of replies that come together. `batch` is empty.
    pub fn reserve_batch(&mut self, batch: Box<Batch>) -> SlotNumber {
        self.queue.push_back(Slot::Batch(batch));
        self.head + self.queue.len() as u64 - 1
    }

    /// The batch in `slot`.
    pub fn batch(&mut self, slot: SlotNumber) -> Option<&mut Batch> {
        match self.entry(slot) {
            Some(Slot::Batch(batch)) => Some(batch),
            _ => None,
        }
    }

    /// Has `add` add a request to the batch in `slot`.
    pub fn add_to_batch(&mut self, slot: SlotNumber, add: impl FnOnce(&mut Batch)) {
        if let Some(batch) = self.batch(slot) {
            let before = batch.own_len();
            add(batch);
            let added = batch.own_len() - before;
            self.queued += added;
        }
    }

    /// Takes home a letter of the batch in `slot`.
    pub fn take_home(&mut self, slot: SlotNumber, letter: Box<Letter>) {
        let len = letter.reply.len();
        if let Some(batch) = self.batch(slot) {
            batch.take_home(letter);
            self.queued += len;
            self.hand_out();
        }
    }

    /// A batch whose replies have all been handed out, to be used again.
    pub fn take_joined(&mut self) -> Option<Box<Batch>> {
        self.joined.pop()
    }

    /// Adds to the reply of `slot`, which stays open.
    pub fn write(&mut self, slot: SlotNumber, write: impl FnOnce(&mut Output)) {
        if slot == self.head {
            write(&mut self.out);
            return;
        }
        if let Some(entry) = self.entry(slot) {
            if matches!(entry, Slot::Waiting) {
                *entry = Slot::Open(Output::default());
            }
            if let Slot::Open(output) = entry {
                let before = output.len();
                write(output);
                let added = output.len() - before;
                self.queued += added;
            }
        }
    }

    /// Adds `part` to the reply of `slot`, which stays open. Leaves `part` empty.
    pub fn extend(&mut self, slot: SlotNumber, part: &mut Output) {
        self.write(slot, |output| output.append(part));
    }

    /// Ends the reply of `slot` with `part`. Leaves `part` empty.
    pub fn complete(&mut self, slot: SlotNumber, part: &mut Output) {
        self.extend(slot, part);
        if let Some(entry) = self.entry(slot) {
            *entry = match std::mem::replace(entry, Slot::Waiting) {
                Slot::Open(output) | Slot::Ready(output) => Slot::Ready(output),
                Slot::Waiting => Slot::Ready(Output::default()),
                batch @ Slot::Batch(_) => batch,
            };
        }
        self.hand_out();
    }

    fn entry(&mut self, slot: SlotNumber) -> Option<&mut Slot> {
        let index = usize::try_from(slot.checked_sub(self.head)?).ok()?;
        self.queue.get_mut(index)
    }

    /// Moves what is ready at the head to the output, and what is there of the first that is not.
    fn hand_out(&mut self) {
        loop {
            match self.queue.front_mut() {
                Some(Slot::Ready(output)) => {
                    self.queued -= output.len();
                    self.out.append(output);
                }
                Some(Slot::Batch(batch)) if batch.is_ready() => {
                    self.queued -= batch.held();
                    batch.join(&mut self.out);
                }
                _ => break,
            }
            if let Some(Slot::Batch(batch)) = self.queue.pop_front() {
                self.joined.push(batch);
            }
            self.head += 1;
        }
        if let Some(Slot::Open(output)) = self.queue.front_mut() {
            self.queued -= output.len();
            self.out.append(output);
        }
        if self.queue.is_empty() && self.queue.capacity() > PLACES_KEPT_MAX {
            self.queue = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Output {
        let mut output = Output::default();
        output.put(text.as_bytes());
        output
    }

    #[test]
    fn replies_leave_in_the_order_of_their_requests() {
        let mut slots = Slots::default();
        slots.put(|out| out.put(b"0"));
        let first = slots.reserve();
        slots.put(|out| out.put(b"2"));
        let third = slots.reserve();
        slots.put(|out| out.put(b"4"));
        slots.put(|out| out.put(b"5"));
        assert_eq!(slots.out().to_vec(), b"0");
        slots.complete(third, &mut part("3"));
        assert_eq!(slots.out().to_vec(), b"0");
        assert_eq!(slots.buffered(), 5);
        slots.complete(first, &mut part("1"));
        assert_eq!(slots.out().to_vec(), b"012345");
        assert_eq!(slots.buffered(), 6);
        assert!(!slots.is_waiting());
        let later = slots.reserve();
        slots.complete(later, &mut part("6"));
        assert_eq!(slots.out().to_vec(), b"0123456");
    }

    #[test]
    fn an_open_slot_streams_once_it_is_first() {
        let mut slots = Slots::default();
        let first = slots.reserve();
        let second = slots.reserve();
        slots.extend(second, &mut part("b1 "));
        slots.put(|out| out.put(b"c"));
        slots.extend(first, &mut part("a1 "));
        assert_eq!(slots.out().to_vec(), b"a1 ");
        slots.complete(first, &mut part("a2 "));
        assert_eq!(slots.out().to_vec(), b"a1 a2 b1 ");
        slots.extend(second, &mut part("b2 "));
        slots.complete(second, &mut Output::default());
        assert_eq!(slots.out().to_vec(), b"a1 a2 b1 b2 c");
        assert_eq!(slots.buffered(), slots.out().len());
    }

    #[test]
    fn an_empty_queue_holds_little() {
        let mut slots = Slots::default();
        for _ in 0..1000 {
            slots.reserve();
        }
        for slot in 0..1000 {
            slots.complete(slot, &mut part("x"));
        }
        assert!(slots.queue.capacity() <= PLACES_KEPT_MAX);
        assert_eq!(slots.reserve(), 1000);
    }
}
