//! Making room: what no reader needs any more goes first, then the dead, then the living in the order of the queue.

use super::classes::class_of;
use super::door::{Eviction, Item, StoreOutcome};
use super::expiry::Life;
use super::items::{Items, item_size};
use super::shard::Shard;
use super::slots::SlotId;
use crate::terms::{Deadline, KeyHash, Now};

/// Slots looked through for dead items before a living one is evicted.
const DEAD_LOOKS_EVICTING: usize = 8;
/// The same where nothing may be evicted, before a store is refused.
const DEAD_LOOKS_REFUSING: usize = 512;
/// Pinned values looked at when room is needed, and in a tick.
const PINNED_LOOKS: usize = 64;
/// Items the background sweep looks at in one go.
const SWEEP_LOOKS: usize = 256;
/// Goes in one tick, as long as a quarter of what it sees is dead.
const SWEEPS_PER_TICK_MAX: usize = 16;
/// An item fetched this long before its eviction was in use.
const ACTIVE_S: u32 = 60;

/// Why the sweep takes items back: decides what counts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sweep {
    ForRoom,
    InBackground,
}

impl Shard {
    /// Sees to it that `charge` more bytes fit, and the tables' growth if an item with the hash `newcomer` comes.
    /// Without a newcomer no item's slot changes.
    pub(super) fn make_room(&mut self, charge: usize, newcomer: Option<KeyHash>, now: Now) -> Result<(), StoreOutcome> {
        if self.fits(charge, newcomer) {
            return Ok(());
        }
        self.items.release_pinned(PINNED_LOOKS);
        while !self.fits(charge, newcomer) {
            if newcomer.is_some() && self.items.tables_are_mostly_empty() {
                self.items.shrink_tables();
                continue;
            }
            // What would still be there when everything else is gone: then nobody shall go for it. The tables shrink for
            // a newcomer, what readers pin does not.
            let fixed = if newcomer.is_some() { self.items.bytes_fixed_min() } else { self.items.bytes_fixed() };
            if fixed.saturating_add(charge) > self.config.memory_limit {
                return Err(StoreOutcome::OutOfMemory);
            }
            let looks = if self.config.evict { DEAD_LOOKS_EVICTING } else { DEAD_LOOKS_REFUSING };
            let gained = self.sweep(looks, Sweep::ForRoom, now) > 0 || (self.config.evict && self.evict_one(now));
            if !gained {
                return Err(StoreOutcome::OutOfMemory);
            }
        }
        Ok(())
    }

    /// Refuses an item that would not fit if it were the only one.
    pub(super) const fn check_charge(&self, charge: usize) -> Result<(), StoreOutcome> {
        if charge.saturating_add(Items::tables_bytes_min()) > self.config.memory_limit {
            Err(StoreOutcome::TooLarge)
        } else {
            Ok(())
        }
    }

    /// Whether the tables, as large as they are, leave too little for an item that is charged `charge`.
    pub(super) fn tables_are_in_the_way(&self, charge: usize) -> bool {
        self.items.bytes_fixed().saturating_add(charge) > self.config.memory_limit
    }

    /// Evicts down to the limit, `-M` or not, after the limit has come down. What readers hold follows in later ticks.
    pub(super) fn shed(&mut self, now: Now) {
        self.items.release_pinned(PINNED_LOOKS);
        while !self.fits(0, None) {
            if self.items.tables_are_mostly_empty() {
                self.items.shrink_tables();
            } else if !self.evict_one(now) {
                if self.items.len() == 0 {
                    self.items.shrink_tables();
                }
                return;
            }
        }
    }

    /// A bounded piece of the round that takes dead items and pinned values back.
    pub(super) fn sweep_in_background(&mut self, now: Now) {
        self.items.release_pinned(PINNED_LOOKS);
        for _ in 0..SWEEPS_PER_TICK_MAX {
            if self.sweep(SWEEP_LOOKS, Sweep::InBackground, now) < SWEEP_LOOKS / 4 {
                break;
            }
        }
    }

    fn fits(&self, charge: usize, newcomer: Option<KeyHash>) -> bool {
        let growth = newcomer.map_or(0, |hash| self.items.growth_bytes(hash));
        self.items.bytes().saturating_add(charge).saturating_add(growth) <= self.config.memory_limit
    }

    /// Looks through `looks` slots; how many dead items it took back.
    fn sweep(&mut self, looks: usize, sweep: Sweep, now: Now) -> usize {
        let mut taken_back = 0;
        for _ in 0..looks.min(self.items.len()) {
            let Some(id) = self.items.sweep_next() else { continue };
            if sweep == Sweep::InBackground {
                self.counters.crawler_items_checked += 1;
            }
            if self.is_dead(id, now) {
                let class = self.class_of(id);
                self.bury(id, now);
                taken_back += 1;
                match sweep {
                    Sweep::ForRoom => {
                        self.counters.reclaimed += 1;
                        self.class_counters[class].reclaimed += 1;
                    }
                    Sweep::InBackground => {
                        self.counters.crawler_reclaimed += 1;
                        self.class_counters[class].crawler_reclaimed += 1;
                    }
                }
            }
        }
        taken_back
    }

    fn evict_one(&mut self, now: Now) -> bool {
        let flushes = &self.flushes;
        let Some(id) = self.items.next_victim(|item| flushes.life(item, now) != Life::Live) else { return false };
        if self.is_dead(id, now) {
            self.counters.reclaimed += 1;
            let class = self.class_of(id);
            self.class_counters[class].reclaimed += 1;
            self.bury(id, now);
            return true;
        }
        self.log_eviction(id, now);
        let class = self.class_of(id);
        let item = self.items.remove(id);
        let idle_s = seconds(now).saturating_sub(item.accessed_s);
        let of_class = &mut self.class_counters[class];
        self.counters.evictions += 1;
        of_class.evicted += 1;
        of_class.evicted_nonzero += u64::from(item.deadline != Deadline::NEVER);
        of_class.evicted_time = idle_s;
        if !item.fetched {
            self.counters.evicted_unfetched += 1;
            of_class.evicted_unfetched += 1;
        } else if idle_s <= ACTIVE_S {
            self.counters.evicted_active += 1;
            of_class.evicted_active += 1;
        }
        true
    }

    fn log_eviction(&mut self, id: SlotId, now: Now) {
        if self.eviction_log.is_none() {
            return;
        }
        let Item { fetched, deadline, idle_s, class, size, .. } = self.view(id, now);
        let key = self.items.get(id).payload.key().into();
        if let Some(log) = &mut self.eviction_log {
            log.push(Eviction { key, fetched, deadline, idle_s, class, size });
        }
    }

    fn class_of(&self, id: SlotId) -> usize {
        usize::from(class_of(item_size(&self.items.get(id).payload)))
    }

    /// Whether an item whose bytes are in their place is dead.
    fn is_dead(&self, id: SlotId, now: Now) -> bool {
        let item = self.items.get(id);
        !item.payload.is_taken() && self.flushes.life(item, now) != Life::Live
    }

    /// Takes a dead item back.
    pub(super) fn bury(&mut self, id: SlotId, now: Now) -> Life {
        let class = self.class_of(id);
        let item = self.items.remove(id);
        let life = self.flushes.life(&item, now);
        if life == Life::Expired && !item.fetched {
            self.counters.expired_unfetched += 1;
            self.class_counters[class].expired_unfetched += 1;
        }
        life
    }
}

/// Seconds of the monotonic clock, as items keep them.
pub(super) fn seconds(now: Now) -> u32 {
    u32::try_from(now.monotonic_ms / 1000).unwrap_or(u32::MAX)
}
