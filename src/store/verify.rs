//! What holds between the parts of a shard after every request: for tests.

use super::class::Classes;
use super::items::{Cursor, Items};
use super::segment::Role;
use crate::terms::{Key, KeyHash};

impl Items {
    /// Asserts that the parts are in step. `hash` is the shard's.
    pub(super) fn verify(&self, hash: impl Fn(Key<'_>) -> KeyHash) {
        self.segments.verify();
        let (mut live, mut large, mut live_bytes) = (0, 0, 0);
        let mut classes = Classes::new();
        for (id, segment) in self.segments.iter().filter(|(_, s)| matches!(s.role, Role::Open | Role::Sealed)) {
            let (mut cursor, mut bytes, mut items, mut large_bytes) = (Cursor { segment: id, at: 0 }, 0, 0, 0);
            while let Some(place) = self.next_live(&mut cursor) {
                let item = self.view(place);
                let key = Key::new(item.key()).expect("every item has a key");
                assert_eq!(self.find(key, hash(key)), Some(place), "every item is found under its key");
                bytes += u32::try_from(self.stride(item)).unwrap_or(u32::MAX);
                items += 1;
                large_bytes += item.large_number().map_or(0, |number| self.large.get(number).charge());
                large += usize::from(item.header().is_large());
                let class = classes.of_size(self.size(item));
                (class.number, class.bytes) = (class.number + 1, class.bytes + self.size(item) as u64);
                assert!(segment.role == Role::Open || segment.live_items > 0);
            }
            assert_eq!((segment.live_bytes, segment.live_items), (bytes, items), "live items of a segment");
            assert_eq!(segment.large_bytes, large_bytes, "bytes of a segment's large values");
            live += items as usize;
            live_bytes += bytes as usize;
        }
        assert_eq!((self.index.len(), self.live_bytes), (live, live_bytes), "index entries and items");
        self.index.verify(|unit| assert!(!self.view(self.place(unit)).header().is_dead()));
        self.large.verify(large);
        let gauges =
            |classes: &Classes| classes.in_use().map(|(class, s)| (class, s.number, s.bytes)).collect::<Vec<_>>();
        let counted: Vec<_> = gauges(&self.classes).into_iter().filter(|&(_, number, _)| number > 0).collect();
        assert_eq!(counted, gauges(&classes), "items of classes");
        assert_eq!(self.charged_tables, self.index.bytes() + self.large.table_bytes());
    }
}
