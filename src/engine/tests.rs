//! What the engine keeps for a connection between its requests.

use std::sync::Arc;

use super::*;
use crate::limits::OUTPUT_BACKLOG_MAX;
use crate::memory::Budget;
use crate::metrics::ProcessFacts;
use crate::store::ShardConfig;
use crate::terms::Key;

#[derive(Debug)]
struct NoFacts;

impl FactSource for NoFacts {
    fn facts(&self, _: Now) -> ProcessFacts<'_> {
        ProcessFacts::default()
    }

    fn verbosity(&self) -> u32 {
        0
    }
}

const NOW: Now = Now { monotonic_ms: 10_000, unix_ms: 1_800_000_000_000 };
const CLIENT: ConnectionId = ConnectionId { index: 0, generation: 0 };

/// Core `id` of two.
fn core(id: u16) -> Engine {
    let config = EngineConfig {
        shard: ShardConfig {
            id: ShardId(id),
            shards: 2,
            budget: Arc::new(Budget::new(16 << 20)),
            item_size_max: 1 << 20,
            evict: true,
            cas: true,
            huge_pages: false,
            hash_seed: [7, 11],
        },
        requests_per_turn: 512,
        strict_order: false,
        flush_enabled: true,
        shutdown_enabled: false,
        access: Access::default(),
        admin: AdminConfig::default(),
        idle_timeout_ms: Some(60_000),
        has_tls: false,
        version: "test",
        settings: Vec::new(),
        listeners: Vec::new(),
        facts: Arc::new(NoFacts),
    };
    Engine::new(config, NOW).unwrap()
}

/// Core 0 with a client, and core 1.
fn cores_and_client() -> (Engine, Engine) {
    let mut home = core(0);
    let address = Address::Tcp(([127, 0, 0, 1], 11211).into());
    home.open(CLIENT, Peer { descriptor: 3, remote: address.clone(), local: address, dialect: None }, NOW);
    (home, core(1))
}

/// A key that core `owner` owns.
fn key_of(home: &Engine, owner: u16) -> String {
    let owned = |key: &String| home.node.routing.owner(Key::new(key.as_bytes()).unwrap()) == ShardId(owner);
    (0..10_000).map(|number| format!("k{number}")).find(owned).unwrap()
}

/// Brings all letters to core 1 and home again.
fn carry(home: &mut Engine, away: &mut Engine) {
    for letter in std::mem::take(home.outbox(ShardId(1))) {
        away.deliver(letter, NOW);
    }
    for letter in std::mem::take(away.outbox(ShardId(0))) {
        home.deliver(letter, NOW);
    }
}

fn session(engine: &mut Engine) -> &mut Session {
    &mut find(&mut engine.connections, CLIENT).unwrap().session
}

#[test]
fn a_connection_without_a_reply_to_write_keeps_no_buffer() {
    let (mut home, mut away) = cores_and_client();
    home.sent(CLIENT, Some(Vec::with_capacity(4096)), NOW);
    let far = key_of(&home, 1);
    home.receive(CLIENT, format!("set {far} 0 0 1 noreply\r\nv\r\n").as_bytes(), NOW);
    carry(&mut home, &mut away);
    assert_eq!(session(&mut home).outstanding(), 0);
    assert!(!session(&mut home).slots.out().has_buffer());
}

#[test]
fn a_connection_is_not_idle_while_its_replies_are_being_read() {
    let (mut home, mut away) = cores_and_client();
    let near = key_of(&home, 0);
    let value = vec![b'v'; 1 << 20];
    home.receive(CLIENT, format!("set {near} 0 0 {} noreply\r\n", value.len()).as_bytes(), NOW);
    home.receive(CLIENT, &[&value[..], b"\r\n"].concat(), NOW);
    home.receive(CLIENT, format!("get {near}\r\nversion\r\n").as_bytes(), NOW);
    carry(&mut home, &mut away);
    assert!(home.take_output(CLIENT).is_some());
    let later = Now { monotonic_ms: NOW.monotonic_ms + 100_000, ..NOW };
    home.tick(later);
    home.sent(CLIENT, None, later);
    assert!(home.wants(CLIENT).read, "a slow reader is taken for idle");
    assert!(matches!(home.take_output(CLIENT), Some(Outgoing::Single(reply)) if reply == b"VERSION test\r\n"));
    home.sent(CLIENT, None, later);
    home.tick(Now { monotonic_ms: later.monotonic_ms + 59_000, ..later });
    assert!(!home.wants(CLIENT).close, "it has just taken its reply");
    home.tick(Now { monotonic_ms: later.monotonic_ms + 61_000, ..later });
    assert!(home.wants(CLIENT).close);
}

#[test]
fn a_dump_that_nobody_reads_holds_little() {
    let (mut home, mut away) = cores_and_client();
    for number in 0..20_000 {
        home.receive(CLIENT, format!("set key{number} 0 0 1 noreply\r\nv\r\n").as_bytes(), NOW);
        carry(&mut home, &mut away);
    }
    home.receive(CLIENT, b"lru_crawler metadump all\r\n", NOW);
    let (mut received, mut most) = (0, 0);
    for turn in 0..10_000 {
        carry(&mut home, &mut away);
        home.run(NOW);
        most = most.max(home.backlog(CLIENT).1);
        // A slow reader: it takes something every tenth turn.
        if turn % 10 == 0
            && let Some(outgoing) = home.take_output(CLIENT)
        {
            let Outgoing::Single(bytes) = outgoing else { panic!("no values are dumped") };
            received += bytes.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"key=")).count();
            home.sent(CLIENT, None, NOW);
        }
    }
    assert_eq!(received, 20_000);
    assert!(most <= 64 << 10, "{most} bytes were in flight");
    assert!(session(&mut home).dump.is_none() && home.node.dumping.is_none());
}

#[test]
fn a_watcher_that_is_gone_leaves_nothing_behind() {
    let (mut home, mut away) = cores_and_client();
    home.receive(CLIENT, b"watch mutations evictions\r\n", NOW);
    carry(&mut home, &mut away);
    assert!(home.node.observer.is_some() && away.node.observer.is_some());
    assert_eq!(home.node.counters.log_watchers, 1);
    home.close(CLIENT);
    assert!(home.node.watchers.is_empty());
    assert_eq!(home.node.counters.log_watchers, 0);
    let later = Now { monotonic_ms: NOW.monotonic_ms + crate::limits::WATCH_LEASE_MS + 1, ..NOW };
    home.tick(later);
    away.tick(later);
    assert!(home.node.observer.is_none() && away.node.observer.is_none(), "nobody fetches any more");
}

/// All letters that wait to be sent to core 1, answered by it.
fn answered(home: &mut Engine, away: &mut Engine) -> Vec<Box<Letter>> {
    for letter in std::mem::take(home.outbox(ShardId(1))) {
        away.deliver(letter, NOW);
    }
    std::mem::take(away.outbox(ShardId(0)))
}

#[test]
fn first_replies_of_a_pipeline_wait_for_those_of_another_core() {
    let (mut home, mut away) = cores_and_client();
    let (near, far) = (key_of(&home, 0), key_of(&home, 1));
    home.receive(CLIENT, format!("get {near}\r\nget {far}\r\nget {near}\r\n").as_bytes(), NOW);
    assert!(!home.wants(CLIENT).send);
    carry(&mut home, &mut away);
    assert!(home.wants(CLIENT).send);
    assert!(matches!(home.take_output(CLIENT), Some(Outgoing::Single(reply)) if reply == b"END\r\nEND\r\nEND\r\n"));
}

#[test]
fn replies_do_not_wait_for_requests_that_come_later() {
    let (mut home, mut away) = cores_and_client();
    let line = format!("get {}\r\n", key_of(&home, 1));
    home.receive(CLIENT, line.as_bytes(), NOW);
    let mut longest = 0;
    let mut held = 0;
    // There is always one under way: the next comes before the one before is home.
    for _ in 0..1000 {
        let letters = answered(&mut home, &mut away);
        home.receive(CLIENT, line.as_bytes(), NOW);
        for letter in letters {
            home.deliver(letter, NOW);
        }
        held += 1;
        if home.wants(CLIENT).send {
            assert!(home.take_output(CLIENT).is_some());
            home.sent(CLIENT, None, NOW);
            (longest, held) = (longest.max(held), 0);
        }
    }
    assert_eq!(longest, 2, "a reply waits for the one letter that was under way when it was ready");
}

#[test]
fn a_batch_goes_back_whoever_hands_out_its_replies() {
    let (mut home, mut away) = cores_and_client();
    let far = key_of(&home, 1);
    home.receive(CLIENT, format!("touch {far} 1\r\nget {far}\r\nget {far}\r\n").as_bytes(), NOW);
    let mut letters = answered(&mut home, &mut away);
    assert_eq!(letters.len(), 2);
    // The batch is home first and waits for the reply before it.
    letters.reverse();
    for letter in letters {
        home.deliver(letter, NOW);
    }
    assert!(
        matches!(home.take_output(CLIENT), Some(Outgoing::Single(reply)) if reply == b"NOT_FOUND\r\nEND\r\nEND\r\n")
    );
    assert!(session(&mut home).slots.take_joined().is_none());
}

#[test]
fn an_input_that_is_used_up_does_not_go_on_in_the_next() {
    let (mut home, mut away) = cores_and_client();
    let set = format!("set {} 0 0 1\r\nv\r\n", key_of(&home, 0));
    let both = format!("{set}get {}\r\n", key_of(&home, 1));
    let (first, second) = both.as_bytes().split_at(set.len());
    assert_eq!(home.foresee([(CLIENT, first), (CLIENT, second)].into_iter()), 2);
    home.receive(CLIENT, first, NOW);
    home.receive(CLIENT, second, NOW);
    home.end_foresight();
    carry(&mut home, &mut away);
    assert!(matches!(home.take_output(CLIENT), Some(Outgoing::Single(reply)) if reply == b"STORED\r\nEND\r\n"));
}

#[test]
fn a_retrieval_that_nobody_reads_holds_few_of_its_own_cores_values() {
    let (mut home, mut away) = cores_and_client();
    let value = vec![b'v'; 1_000_000];
    let is_near = |key: &String| home.node.routing.owner(Key::new(key.as_bytes()).unwrap()) == ShardId(0);
    let keys: Vec<String> = (0..).map(|number| format!("k{number}")).filter(is_near).take(8).collect();
    for key in &keys {
        home.receive(CLIENT, format!("set {key} 0 0 {} noreply\r\n", value.len()).as_bytes(), NOW);
        home.receive(CLIENT, &[&value[..], b"\r\n"].concat(), NOW);
    }
    let line = format!("get {} {}\r\n", key_of(&home, 1), keys.join(" "));
    home.receive(CLIENT, line.as_bytes(), NOW);
    let (mut values, mut most) = (0, 0);
    for _ in 0..100 {
        carry(&mut home, &mut away);
        most = most.max(home.backlog(CLIENT).1);
        match home.take_output(CLIENT) {
            Some(Outgoing::Chunks(chunks)) => {
                values += chunks.iter().filter(|c| c.as_bytes().len() == value.len()).count();
            }
            Some(Outgoing::Single(end)) => assert_eq!(end, b"END\r\n"),
            None => break,
        }
        home.sent(CLIENT, None, NOW);
    }
    assert_eq!(values, keys.len());
    assert!(most <= OUTPUT_BACKLOG_MAX + value.len() + 100, "{most} bytes");
}
