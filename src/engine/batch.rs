//! Gets of a pipeline that other cores own: see `session/batch.rs`.

use crate::engine::conversation::Conversation;
use crate::session::letter::Letter;
use crate::session::slots::SlotNumber;
use crate::terms::ShardId;

impl Conversation<'_> {
    /// Has a get travel to the owner of its key, in the batch that `batch` names or in a new one. Leaves `batch` empty once
    /// that is full: then its letters are posted, as far as there are credits.
    pub(super) fn send_in_batch(&mut self, owner: ShardId, line: &[u8], batch: &mut Option<SlotNumber>) {
        let Self { node, session, id } = &mut *self;
        let slot = *batch.get_or_insert_with(|| session.slots.reserve_batch(node.batch()));
        let Some(open) = session.slots.batch(slot) else { return };
        open.push(owner, line, || node.letter(owner, *id));
        if open.is_full() {
            self.close_batch(batch);
        }
    }

    /// Sends the batch that `batch` names on its way, if it names one.
    pub(super) fn close_batch(&mut self, batch: &mut Option<SlotNumber>) {
        let Some(slot) = batch.take() else { return };
        if let Some(batch) = self.session.slots.batch(slot) {
            self.session.parked.extend(batch.close(slot));
            self.post_parked();
        }
    }

    /// The gets of one owner have come home.
    pub(super) fn take_batch_home(&mut self, letter: Box<Letter>) {
        let Some(slot) = letter.slot else { return };
        self.session.slots.take_home(slot, letter);
    }

    /// Takes back batches whose replies have been handed out.
    pub(super) fn recycle_joined(&mut self) {
        while let Some(batch) = self.session.slots.take_joined() {
            self.node.recycle_batch(batch);
        }
    }
}
