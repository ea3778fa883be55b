//! Which item goes next: SIEVE. Items stand in the order of their writing and a hand walks from the oldest to the
//! newest; an item used since the hand last passed stays where it is, the first unused one goes. So an item nobody
//! asks for passes through quickly, and one in use costs a bit at each access and no move.

use super::item::StoredItem;
use super::slots::{SlotId, SlotTable};

/// Items in the order of their writing; the links are in the items.
#[derive(Debug, Default)]
pub(super) struct Queue {
    newest: Option<SlotId>,
    oldest: Option<SlotId>,
    /// The next one to judge; `None` is the oldest.
    hand: Option<SlotId>,
}

/// Used items the hand passes for one victim; then it takes a used one. Bounds what one store waits.
const VISITED_PASSED_MAX: usize = 1024;
/// Values in the hands of readers that it passes: evicting one frees nothing. Then there is no victim.
const HELD_PASSED_MAX: usize = 4096;

impl Queue {
    /// The one written longest ago.
    pub(super) const fn oldest(&self) -> Option<SlotId> {
        self.oldest
    }

    /// Where the hand is.
    pub(super) const fn hand(&self) -> Option<SlotId> {
        self.hand
    }

    /// Puts the hand on an item.
    pub(super) const fn set_hand(&mut self, hand: Option<SlotId>) {
        self.hand = hand;
    }

    /// Puts an item at the new end.
    pub(super) fn push_newest(&mut self, slots: &mut SlotTable, id: SlotId) {
        let item = slots.get_mut(id);
        item.newer = None;
        item.older = self.newest;
        match self.newest {
            Some(newest) => slots.get_mut(newest).newer = Some(id),
            None => self.oldest = Some(id),
        }
        self.newest = Some(id);
    }

    /// Takes an item out.
    pub(super) fn unlink(&mut self, slots: &mut SlotTable, id: SlotId) {
        let StoredItem { newer, older, .. } = *slots.get(id);
        if self.hand == Some(id) {
            self.hand = newer;
        }
        match newer {
            Some(newer) => slots.get_mut(newer).older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => slots.get_mut(older).newer = newer,
            None => self.oldest = newer,
        }
    }

    /// The next item to go: a dead one, or one that was not used since the hand last passed. Stays in the queue.
    pub(super) fn next_victim(
        &mut self,
        slots: &mut SlotTable,
        is_dead: impl Fn(&StoredItem) -> bool,
    ) -> Option<SlotId> {
        let (mut visited_passed, mut held_passed) = (0, 0);
        for _ in 0..=2 * slots.len() {
            let id = self.hand.or(self.oldest)?;
            self.hand = Some(id);
            let item = slots.get_mut(id);
            if item.payload.is_taken() || item.payload.is_held() {
                held_passed += 1;
                if held_passed > HELD_PASSED_MAX {
                    return None;
                }
            } else if is_dead(item) || !item.visited || visited_passed == VISITED_PASSED_MAX {
                return Some(id);
            } else {
                item.visited = false;
                visited_passed += 1;
            }
            self.hand = item.newer;
        }
        None
    }

    /// Asserts that the queue holds all items, linked both ways, and the hand is on one of them.
    pub(super) fn verify(&self, slots: &SlotTable) {
        let mut len = 0;
        let mut older = None;
        let mut next = self.oldest;
        let mut hand_met = self.hand.is_none();
        while let Some(id) = next {
            len += 1;
            assert!(len <= slots.len(), "the queue is a ring");
            assert_eq!(slots.get(id).older, older, "links both ways");
            hand_met |= self.hand == Some(id);
            older = next;
            next = slots.get(id).newer;
        }
        assert_eq!((older, len), (self.newest, slots.len()), "all items are in the queue");
        assert!(hand_met, "the hand is on an item");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::bare_item;

    fn three() -> (Queue, SlotTable, [SlotId; 3]) {
        let (mut queue, mut slots) = (Queue::default(), SlotTable::default());
        let ids = [(); 3].map(|()| {
            let id = slots.insert(bare_item());
            queue.push_newest(&mut slots, id);
            id
        });
        (queue, slots, ids)
    }

    #[test]
    fn the_oldest_unused_goes_and_the_used_stay_where_they_are() {
        let (mut queue, mut slots, [a, b, c]) = three();
        slots.get_mut(a).visited = true;
        assert_eq!(queue.next_victim(&mut slots, |_| false), Some(b));
        queue.unlink(&mut slots, b);
        slots.remove(b);
        queue.verify(&slots);
        assert_eq!(queue.next_victim(&mut slots, |_| false), Some(c), "the hand goes on from where it was");
        queue.unlink(&mut slots, c);
        slots.remove(c);
        assert_eq!(queue.next_victim(&mut slots, |_| false), Some(a), "its use was spent when the hand passed");
    }

    #[test]
    fn a_dead_item_goes_though_it_was_used() {
        let (mut queue, mut slots, [a, b, _]) = three();
        slots.get_mut(a).visited = true;
        slots.get_mut(b).visited = true;
        slots.get_mut(b).birth = 77;
        assert_eq!(queue.next_victim(&mut slots, |item| item.birth == 77), Some(b));
    }

    #[test]
    fn when_all_are_used_one_goes_after_a_round() {
        let (mut queue, mut slots, ids) = three();
        for id in ids {
            slots.get_mut(id).visited = true;
        }
        assert_eq!(queue.next_victim(&mut slots, |_| false), Some(ids[0]));
    }
}
