//! What the door promises beyond the classic requests: versions chosen and compared, marks, changes, walks, reports.

use std::collections::BTreeSet;

use super::tests::{START, at, config};
use super::{
    ArithmeticOutcome, ArithmeticRequest, Change, Found, Incoming, Item, Lookup, Marks, NewCas, Search, Shard, Sought,
    StoreOutcome, StoreRequest, WalkCursor,
};
use crate::terms::{Arithmetic, CasUnique, Deadline, Exptime, Flags, Key, KeyHash, StoreMode};

fn shard() -> Shard {
    Shard::new(config(1 << 20)).unwrap()
}

fn key(text: &str) -> Key<'_> {
    Key::new(text.as_bytes()).unwrap()
}

fn request<'a>(shard: &Shard, mode: StoreMode, name: &'a str, value: &'a str) -> StoreRequest<'a> {
    let (key, value) = (key(name), Incoming::Slice(value.as_bytes()));
    StoreRequest::new(mode, key, shard.hash(key), Flags(5), Deadline::NEVER, value)
}

fn set(shard: &mut Shard, name: &str, value: &str) {
    let request = request(shard, StoreMode::Set, name, value);
    assert!(matches!(shard.store(request, START), StoreOutcome::Stored { .. }));
}

fn find(shard: &mut Shard, name: &str) -> Found {
    let hash = shard.hash(key(name));
    let Search::Hit(found) = shard.find(key(name), hash, START) else { panic!("{name} is not there") };
    found
}

fn item<'a>(shard: &'a mut Shard, name: &str) -> Item<'a> {
    let found = find(shard, name);
    shard.item(found, START)
}

#[test]
fn what_was_seen_ahead_is_looked_up_as_it_is_now() {
    let mut shard = shard();
    for name in ["kept", "overwritten", "replaced", "deleted", "again"] {
        set(&mut shard, name, name);
    }
    let names = ["kept", "overwritten", "replaced", "deleted", "again", "absent", "late"];
    let mut sought = names.map(|name| Sought::new(shard.hash(key(name))));
    shard.look_ahead(&mut sought);
    let value = |shard: &mut Shard, at: usize| match shard.get_sought(key(names[at]), sought[at], START) {
        Lookup::Hit(item) => Some(String::from_utf8(item.value.as_bytes().to_vec()).unwrap()),
        _ => None,
    };
    set(&mut shard, "late", "now");
    set(&mut shard, "overwritten", "OVERWRITTEN");
    assert_eq!(
        [0, 1, 5, 6].map(|at| value(&mut shard, at)).map(Option::unwrap_or_default),
        ["kept", "OVERWRITTEN", "", "now"]
    );
    set(&mut shard, "replaced", "by something much longer, which lies elsewhere");
    shard.delete(key("deleted"), shard.hash(key("deleted")), START);
    shard.delete(key("again"), shard.hash(key("again")), START);
    set(&mut shard, "again", "new");
    let expected = ["kept", "OVERWRITTEN", "by something much longer, which lies elsewhere", "", "new", "", "now"];
    for (at, expected) in expected.into_iter().enumerate() {
        assert_eq!(value(&mut shard, at).unwrap_or_default(), expected, "{}", names[at]);
    }
    // Another key under the same hash does not get the item that was seen.
    assert!(matches!(shard.get_sought(key("other"), sought[0], START), Lookup::Miss));
    shard.verify();
}

#[test]
fn a_version_is_compared_and_chosen_whatever_the_mode() {
    let mut shard = shard();
    let versioned = |shard: &mut Shard, mode, compare, cas| {
        let mut request = request(shard, mode, "k", "v");
        (request.compare, request.cas) = (Some(CasUnique(compare)), Some(CasUnique(cas)));
        let outcome = shard.store(request, START);
        shard.verify();
        outcome
    };
    assert_eq!(versioned(&mut shard, StoreMode::Set, 1, 50), StoreOutcome::NotFound);
    assert_eq!(versioned(&mut shard, StoreMode::Replace, 1, 50), StoreOutcome::NotFound);
    assert_eq!(versioned(&mut shard, StoreMode::Append, 1, 50), StoreOutcome::NotStored);
    assert_eq!(versioned(&mut shard, StoreMode::Add, 1, 50), StoreOutcome::Stored { cas: CasUnique(50), len: 1 });
    for mode in [StoreMode::Set, StoreMode::Replace, StoreMode::Append, StoreMode::Prepend] {
        assert_eq!(versioned(&mut shard, mode, 49, 60), StoreOutcome::Exists, "{mode:?}");
    }
    assert_eq!(versioned(&mut shard, StoreMode::Append, 50, 40), StoreOutcome::Stored { cas: CasUnique(40), len: 2 });
    assert_eq!(versioned(&mut shard, StoreMode::Set, 40, 41), StoreOutcome::Stored { cas: CasUnique(41), len: 1 });
    assert_eq!(item(&mut shard, "k").cas, CasUnique(41));
    set(&mut shard, "k", "w");
    assert_ne!(item(&mut shard, "k").cas, CasUnique(41), "a plain set takes the shard's next");
}

#[test]
fn an_older_version_is_stored_stale_and_keeps_the_deadline_and_the_win() {
    let mut shard = shard();
    let late = Deadline::from_exptime(Exptime(100), START);
    let mut first = request(&shard, StoreMode::Set, "k", "new");
    (first.cas, first.deadline) = (Some(CasUnique(100)), late);
    shard.store(first, START);
    let found = find(&mut shard, "k");
    let won = Marks { won: true, ..Marks::default() };
    shard.change(found, Change { marks: Some(won), ..Change::default() }, START).unwrap();

    let mut older = request(&shard, StoreMode::Set, "k", "old");
    (older.compare, older.cas, older.stale_if_older) = (Some(CasUnique(99)), Some(CasUnique(101)), true);
    assert_eq!(shard.store(older, START), StoreOutcome::Stored { cas: CasUnique(101), len: 3 });
    let stale = item(&mut shard, "k");
    assert_eq!((stale.marks, stale.deadline), (Marks { stale: true, ..won }, late));

    let mut newer = request(&shard, StoreMode::Set, "k", "newer");
    (newer.compare, newer.stale_if_older) = (Some(CasUnique(102)), true);
    assert_eq!(shard.store(newer, START), StoreOutcome::Exists);
    let mut joined = request(&shard, StoreMode::Append, "k", "more");
    (joined.compare, joined.stale_if_older) = (Some(CasUnique(1)), true);
    assert_eq!(shard.store(joined, START), StoreOutcome::Exists, "only a whole value replaces a newer one");
    set(&mut shard, "k", "fresh");
    assert_eq!(item(&mut shard, "k").marks, Marks::default(), "a new value is neither stale nor won");

    for value_len in [1, 100_000] {
        set(&mut shard, "k", &"v".repeat(value_len));
        let found = find(&mut shard, "k");
        let marks = Marks { stale: true, won: true, key_is_binary: true };
        shard.change(found, Change { marks: Some(marks), ..Change::default() }, START).unwrap();
        let joined = request(&shard, StoreMode::Append, "k", "more");
        assert!(matches!(shard.store(joined, START), StoreOutcome::Stored { .. }));
        let kept = Marks { key_is_binary: true, ..Marks::default() };
        assert_eq!(item(&mut shard, "k").marks, kept, "nor is one that was added to");
    }
}

#[test]
fn appends_and_numbers_come_to_life_where_there_is_nothing() {
    let mut shard = shard();
    let soon = Deadline::from_exptime(Exptime(30), START);
    for mode in [StoreMode::Append, StoreMode::Prepend] {
        let mut append = request(&shard, mode, "text", "v");
        (append.vivify, append.key_is_binary) = (Some(soon), true);
        assert!(matches!(shard.store(append, START), StoreOutcome::Stored { .. }));
    }
    let text = item(&mut shard, "text");
    assert_eq!((text.value.len(), text.deadline, text.marks.key_is_binary), (2, soon, true));

    let mut count = ArithmeticRequest::new(key("n"), shard.hash(key("n")), Arithmetic::Increment, 7);
    assert_eq!(shard.arithmetic(count, START), ArithmeticOutcome::NotFound);
    (count.create, count.cas) = (Some((99, soon)), Some(CasUnique(500)));
    let (number, cas) = (99, CasUnique(500));
    assert_eq!(shard.arithmetic(count, START), ArithmeticOutcome::Created { number, cas, deadline: soon });
    (count.compare, count.deadline) = (Some(CasUnique(499)), Some(Deadline::NEVER));
    assert_eq!(shard.arithmetic(count, START), ArithmeticOutcome::Exists);
    (count.compare, count.cas) = (Some(cas), Some(CasUnique(501)));
    let (number, cas, deadline) = (106, CasUnique(501), Deadline::NEVER);
    assert_eq!(shard.arithmetic(count, START), ArithmeticOutcome::Value { number, cas, deadline });
}

#[test]
fn a_change_touches_only_what_it_names() {
    let mut shard = shard();
    set(&mut shard, "k", "value");
    let before = item(&mut shard, "k").cas;
    let found = find(&mut shard, "k");
    let found = shard.change(found, Change { cas: NewCas::Next, ..Change::default() }, START).unwrap();
    let changed = shard.item(found, START);
    assert!(changed.cas > before && changed.flags == Flags(5) && changed.value.len() == 5 && !changed.fetched);
    let emptied = Change {
        clear_value: true,
        flags: Some(Flags(9)),
        cas: NewCas::Explicit(CasUnique(3)),
        marks: Some(Marks { stale: true, ..Marks::default() }),
        deadline: Some(Deadline::from_exptime(Exptime(10), START)),
    };
    let found = shard.change(found, emptied, START).unwrap();
    let now = shard.item(found, START);
    assert_eq!((now.value.len(), now.flags, now.cas, now.marks.stale), (0, Flags(9), CasUnique(3), true));
    assert_eq!(now.deadline.seconds_left(START), Some(10));
    shard.verify();
    shard.remove(found);
    assert_eq!(shard.find(key("k"), shard.hash(key("k")), START), Search::Miss);
    shard.verify();
}

#[test]
fn a_find_is_no_use_and_a_use_is_remembered() {
    let mut shard = shard();
    set(&mut shard, "k", "v");
    let later = at(START.monotonic_ms + 7000);
    let hash: KeyHash = shard.hash(key("k"));
    let Search::Hit(found) = shard.find(key("k"), hash, later) else { panic!() };
    let item = shard.item(found, later);
    assert_eq!((item.fetched, item.idle_s), (false, 7));
    shard.mark_used(found, later);
    let item = shard.item(found, later);
    assert_eq!((item.fetched, item.idle_s), (true, 0));
}

#[test]
fn a_walk_meets_every_live_item_once() {
    let mut shard = shard();
    for number in 0..1000 {
        set(&mut shard, &format!("key{number}"), "v");
    }
    let mut seen = BTreeSet::new();
    let mut cursor = Some(WalkCursor::default());
    let mut steps = 0;
    while let Some(at) = cursor {
        let before = seen.len();
        cursor = shard.walk(at, START, |key, item| {
            assert!(seen.insert(key.as_bytes().to_vec()) && item.size > 0 && item.class > 0);
        });
        assert!(seen.len() - before <= 200, "a step is bounded");
        steps += 1;
        let name = format!("more{steps}");
        set(&mut shard, &name, "v");
    }
    assert!((0..1000).all(|number| seen.contains(format!("key{number}").as_bytes())));
}

#[test]
fn evictions_are_told_to_who_watches_and_counted_by_class() {
    let mut shard = Shard::new(config(256 << 10)).unwrap();
    shard.watch_evictions(true);
    let value = "v".repeat(500);
    for number in 0..2000 {
        set(&mut shard, &format!("key{number}"), &value);
    }
    let mut told = 0;
    let dropped = shard.drain_evictions(|eviction| {
        told += 1;
        assert!(eviction.key.starts_with(b"key") && !eviction.fetched && eviction.size > 500);
    });
    assert_eq!(told + dropped, shard.stats().evictions);
    assert_eq!(shard.drain_evictions(|_| panic!("told twice")), 0);
    let classes = shard.class_stats(START);
    assert_eq!(classes.iter().map(|(_, class)| class.evicted).sum::<u64>(), shard.stats().evictions);
    assert_eq!(classes.iter().map(|(_, class)| class.number).sum::<u64>(), shard.stats().curr_items);
    let sizes = shard.size_histogram();
    assert_eq!(sizes.iter().map(|(_, count)| count).sum::<u64>(), shard.stats().curr_items);
    assert!(sizes.iter().all(|(size, _)| size % 32 == 0));
}
