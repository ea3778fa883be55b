//! Who is dead: items whose time has come, and items that a `flush_all` killed.

use super::item::StoredItem;
use crate::terms::{FlushOrder, Now};

/// How an item stands at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// To be read.
    Live,
    /// Its time has come.
    Expired,
    /// Written before a flush.
    Flushed,
}

/// The `flush_all` orders so far. Age is the shard's count of writes: touching an item or moving it in memory leaves
/// its age alone, writing a new value does not.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    /// Items born up to this are dead.
    flushed_to: u64,
    /// When everything born before dies: milliseconds of the monotonic clock.
    pending_at_ms: Option<u64>,
    /// The newest order seen.
    epoch_highest: u64,
}

impl Flushes {
    /// Takes an order. `births` is the count of writes so far. Orders may arrive late: an immediate one kills what is
    /// there at any rate, but only a newer order replaces a pending one.
    pub(super) fn order(&mut self, order: FlushOrder, births: u64) {
        let is_newer = order.epoch > self.epoch_highest;
        if is_newer {
            self.epoch_highest = order.epoch;
            self.pending_at_ms = order.at_monotonic_ms;
        }
        if order.at_monotonic_ms.is_none() {
            self.flushed_to = births;
        }
    }

    /// Carries out a pending order whose time has come. Must come before anything that looks or writes at `now`.
    pub(super) const fn carry_out_due(&mut self, births: u64, now: Now) {
        if let Some(at_ms) = self.pending_at_ms
            && at_ms <= now.monotonic_ms
        {
            self.flushed_to = births;
            self.pending_at_ms = None;
        }
    }

    /// Whether `item` lives, a pending order whose time has come included.
    pub(super) const fn is_live(&self, item: &StoredItem, births: u64, now: Now) -> bool {
        let is_due = matches!(self.pending_at_ms, Some(at_ms) if at_ms <= now.monotonic_ms);
        !(is_due && item.birth <= births) && matches!(self.life(item, now), Life::Live)
    }

    /// How `item` stands.
    pub(super) const fn life(&self, item: &StoredItem, now: Now) -> Life {
        if item.birth <= self.flushed_to {
            Life::Flushed
        } else if item.deadline.is_over(now) {
            Life::Expired
        } else {
            Life::Live
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::bare_item;

    const fn at(ms: u64) -> Now {
        Now { monotonic_ms: ms, unix_ms: 0 }
    }

    fn is_flushed(flushes: &Flushes, birth: u64) -> bool {
        let item = StoredItem { birth, ..bare_item() };
        flushes.life(&item, at(0)) == Life::Flushed
    }

    #[test]
    fn shards_that_get_the_same_orders_in_any_order_end_alike() {
        let orders = [(1, None), (2, Some(500)), (3, Some(900)), (4, None), (5, Some(700))]
            .map(|(epoch, at_monotonic_ms)| FlushOrder { epoch, at_monotonic_ms });
        for rotation in 0..orders.len() {
            for reverse in [false, true] {
                let mut late = orders;
                late.rotate_left(rotation);
                if reverse {
                    late.reverse();
                }
                let mut flushes = Flushes::default();
                for order in late {
                    flushes.order(order, 10);
                }
                flushes.carry_out_due(20, at(699));
                assert!(is_flushed(&flushes, 10) && !is_flushed(&flushes, 11), "{late:?}");
                flushes.carry_out_due(20, at(700));
                assert!(is_flushed(&flushes, 20) && !is_flushed(&flushes, 21), "{late:?}");
                flushes.carry_out_due(30, at(5000));
                assert!(!is_flushed(&flushes, 21), "a pending order is carried out once: {late:?}");
            }
        }
    }

    #[test]
    fn an_immediate_order_ends_an_older_pending_one() {
        let mut flushes = Flushes::default();
        flushes.order(FlushOrder { epoch: 1, at_monotonic_ms: Some(100) }, 1);
        flushes.order(FlushOrder { epoch: 2, at_monotonic_ms: None }, 2);
        flushes.carry_out_due(9, at(1000));
        assert!(is_flushed(&flushes, 2) && !is_flushed(&flushes, 3));
    }
}
