//! Conversations that receive more than one reply's worth: a dump of keys in progress, and a watcher.

use crate::protocol::admin::{DumpRequest, WatchKinds};
use crate::session::slots::SlotNumber;
use crate::terms::ShardId;

/// A dump in progress: one shard after the other, one letter at a time.
#[derive(Debug)]
pub struct Dump {
    /// What is to be shown.
    pub request: DumpRequest,
    /// Where it goes.
    pub slot: SlotNumber,
    /// Whose items are next.
    pub shard: u16,
    /// Whether that shard has not been asked yet.
    pub is_first: bool,
    /// Whether a letter is under way.
    pub is_waiting: bool,
    /// How many items may still be shown.
    pub items_left: u32,
}

impl Dump {
    /// A dump that has not begun.
    pub fn new(request: DumpRequest, slot: SlotNumber) -> Box<Self> {
        Box::new(Self { request, slot, shard: 0, is_first: true, is_waiting: false, items_left: request.items_max })
    }
}

/// A conversation that only receives events.
#[derive(Debug)]
pub struct Watching {
    /// Which events.
    pub kinds: WatchKinds,
    /// Which cores have a letter of ours.
    under_way: Vec<bool>,
}

impl Watching {
    /// A watcher of `shards` cores.
    pub fn new(kinds: WatchKinds, shards: u16) -> Box<Self> {
        Box::new(Self { kinds, under_way: vec![false; usize::from(shards)] })
    }

    /// A core without a letter of ours, which counts as having one from now on.
    pub fn next_to_ask(&mut self, from: u16) -> Option<ShardId> {
        let shard = (from..).zip(self.under_way.get_mut(usize::from(from)..)?).find(|(_, asked)| !**asked);
        let (shard, asked) = shard?;
        *asked = true;
        Some(ShardId(shard))
    }

    /// The letter of a core is home.
    pub fn take_home(&mut self, from: ShardId) {
        if let Some(asked) = self.under_way.get_mut(from.index()) {
            *asked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_has_one_letter_with_each_core() {
        let mut watching = Watching::new(WatchKinds::FETCHERS, 3);
        assert_eq!(watching.next_to_ask(0), Some(ShardId(0)));
        assert_eq!(watching.next_to_ask(0), Some(ShardId(1)));
        assert_eq!(watching.next_to_ask(2), Some(ShardId(2)));
        assert_eq!(watching.next_to_ask(0), None);
        watching.take_home(ShardId(1));
        assert_eq!(watching.next_to_ask(2), None);
        assert_eq!(watching.next_to_ask(0), Some(ShardId(1)));
        assert_eq!(watching.next_to_ask(9), None);
    }
}
