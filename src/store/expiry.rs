//! Who is dead: items whose time has come, and items that a `flush_all` killed. And how their memory comes back without
//! anybody touching them.

use super::items::{Cursor, Place};
use super::reclaim::Death;
use super::segment::{Role, SegmentId};
use super::shard::Shard;
use crate::terms::{Deadline, FlushOrder, Now};

/// Items that one step of a sweep looks at: 0.1 ms where all of them are taken back, and up to four times as much where a
/// region of the index is laid out anew after them. So a tick takes one step.
const SWEEP_ITEMS: usize = 256;
/// Segments that one tick goes on with in the round that keeps access stamps right.
const AGING_SEGMENTS_PER_TICK: SegmentId = 2;
/// A segment is looked at for this every two hours.
const AGING_INTERVAL_S: u64 = 7200;

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
    /// The next segment to be looked at for items that a flush killed; `None` if there are none.
    sweep_at: Option<SegmentId>,
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
            self.carry_out(births);
        }
    }

    /// Carries out a pending order whose time has come. Must come before anything that looks or writes at `now`.
    #[inline]
    pub(super) const fn carry_out_due(&mut self, births: u64, now: Now) {
        if let Some(at_ms) = self.pending_at_ms
            && at_ms <= now.monotonic_ms
        {
            self.carry_out(births);
            self.pending_at_ms = None;
        }
    }

    const fn carry_out(&mut self, births: u64) {
        self.flushed_to = births;
        self.sweep_at = Some(0);
    }

    /// Whether a flush waits for its moment, or there may be items that one killed.
    #[inline]
    pub(super) const fn matter(&self) -> bool {
        self.pending_at_ms.is_some() || self.have_killed()
    }

    /// Whether there may be items that a flush killed.
    #[inline]
    pub(super) const fn have_killed(&self) -> bool {
        self.sweep_at.is_some()
    }

    /// Whether an item of this birth was killed.
    pub(super) const fn has_killed(&self, birth: u64) -> bool {
        birth <= self.flushed_to
    }
}

impl Shard {
    /// How the item at `place` stands.
    #[inline(always)]
    pub(super) fn life(&self, place: Place, now: Now) -> Life {
        if self.flushes.have_killed() && self.flushes.has_killed(self.items.birth(place)) {
            Life::Flushed
        } else if self.items.view(place).deadline().is_over(now) {
            Life::Expired
        } else {
            Life::Live
        }
    }

    /// The background's share of taking dead items back. Whether there is more to do at once.
    pub(super) fn sweep_in_background(&mut self, now: Now) -> bool {
        self.sweep_step(Death::InBackground, now) && self.has_due(now)
    }

    /// Takes dead items back, of a bounded number. Whether there was anything to look at.
    pub(super) fn sweep_step(&mut self, death: Death, now: Now) -> bool {
        let Some(mut cursor) = self.items.swept.or_else(|| self.next_to_sweep(now)) else { return false };
        self.items.swept = Some(cursor);
        let mut places = [0; SWEEP_ITEMS];
        let mut found = 0;
        while found < SWEEP_ITEMS
            && let Some(place) = self.items.next_live(&mut cursor)
        {
            self.counters.crawler_items_checked += 1;
            if self.life(place, now) == Life::Live {
                let deadline = self.items.view(place).deadline();
                self.items.segments.note_deadline(cursor.segment, deadline);
            } else {
                places[found] = place;
                found += 1;
            }
        }
        let is_over = cursor.at >= self.items.segments.get(cursor.segment).len;
        self.items.swept = (!is_over).then_some(cursor);
        self.bury_all(&places[..found], death, now);
        true
    }

    fn has_due(&self, now: Now) -> bool {
        self.items.swept.is_some()
            || self.flushes.have_killed()
            || self.items.segments.first_due().is_some_and(|(due, _)| due.is_over(now))
    }

    /// A segment that may have dead items, to be swept from its beginning.
    fn next_to_sweep(&mut self, now: Now) -> Option<Cursor> {
        let due = self.items.segments.first_due().filter(|(due, _)| due.is_over(now)).map(|(_, id)| id);
        let id = match due {
            Some(id) => id,
            None => self.next_flushed()?,
        };
        self.items.segments.forget_deadlines(id);
        Some(Cursor { segment: id, at: 0 })
    }

    /// The next segment with items older than the last flush.
    fn next_flushed(&mut self) -> Option<SegmentId> {
        let from = self.flushes.sweep_at?;
        let segments = &self.items.segments;
        let is_older = |id: &SegmentId| {
            let segment = segments.get(*id);
            matches!(segment.role, Role::Open | Role::Sealed) && segment.live_items > 0
        };
        let found = (from..segments.count()).find(is_older);
        self.flushes.sweep_at = found.map(|id| id + 1);
        found
    }

    /// Keeps the access stamps of items right that nobody touches for hours.
    pub(super) fn age_in_background(&mut self, now: Now) {
        for _ in 0..AGING_SEGMENTS_PER_TICK.min(self.items.segments.count()) {
            let id = self.aging % self.items.segments.count();
            self.aging = id + 1;
            let segment = self.items.segments.get_mut(id);
            let now_s = now.monotonic_ms / 1000;
            if !matches!(segment.role, Role::Open | Role::Sealed) || now_s < segment.aged_s + AGING_INTERVAL_S {
                continue;
            }
            segment.aged_s = now_s;
            let mut cursor = Cursor { segment: id, at: 0 };
            while let Some(place) = self.items.next_live(&mut cursor) {
                if let Some(header) = self.items.view(place).header().aged(now) {
                    self.items.set_header(place, header);
                }
            }
            return;
        }
    }
}

/// Seconds left of an item's life, for the policy.
pub(super) fn ttl_left_s(deadline: Deadline, now: Now) -> Option<u32> {
    deadline.seconds_left(now).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Now {
        Now { monotonic_ms: ms, unix_ms: 0 }
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
                assert!(flushes.has_killed(10) && !flushes.has_killed(11), "{late:?}");
                flushes.carry_out_due(20, at(700));
                assert!(flushes.has_killed(20) && !flushes.has_killed(21), "{late:?}");
                flushes.carry_out_due(30, at(5000));
                assert!(!flushes.has_killed(21), "a pending order is carried out once: {late:?}");
            }
        }
    }

    #[test]
    fn an_immediate_order_ends_an_older_pending_one() {
        let mut flushes = Flushes::default();
        flushes.order(FlushOrder { epoch: 1, at_monotonic_ms: Some(100) }, 1);
        flushes.order(FlushOrder { epoch: 2, at_monotonic_ms: None }, 2);
        flushes.carry_out_due(9, at(1000));
        assert!(flushes.has_killed(2) && !flushes.has_killed(3));
    }
}
