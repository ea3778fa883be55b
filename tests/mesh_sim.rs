//! Many sessions on many shards, with every letter delayed at random, from one seed.
//!
//! Each pair of cores stays first in first out, as the mesh is; all else is random: who is delivered to, who sleeps while
//! others serve at its desk, when a client sends, how its input is cut, when it reads. `RINGCACHED_SEED=n` runs one seed alone.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "common/cluster.rs"]
mod cluster;

use cluster::{Client, Cluster, Random, config, seeds};
use ringcached::limits::{CREDITS, OUTSTANDING_PER_CONNECTION_MAX};
use ringcached::routing::Routing;
use ringcached::terms::{Key, ShardId};

/// A session's requests on keys of its own, so that its replies do not depend on the other sessions.
fn transcript(random: &mut Random, session: usize, requests: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..requests {
        let key = format!("s{session}:{}", random.below(12));
        let noreply = if random.once(4) { " noreply" } else { "" };
        let value = vec![b'0' + u8::try_from(random.below(10)).unwrap(); [1, 3, 20, 5000, 40_000][random.below(5)]];
        let quiet = if random.once(3) { " q" } else { "" };
        let line = match random.below(20) {
            0..4 => format!("set {key} 5 0 {}{noreply}\r\n", value.len()),
            4 => format!("add {key} 6 0 {}{noreply}\r\n", value.len()),
            5 => format!("append {key} 0 0 {}{noreply}\r\n", value.len()),
            6 => format!("delete {key}{noreply}\r\n"),
            7 => format!("incr {key} 7{noreply}\r\n"),
            8 => format!("touch {key} 100{noreply}\r\n"),
            9 => "version\r\n".to_owned(),
            10 => "nonsense\r\n".to_owned(),
            11 | 12 => {
                let keys: Vec<_> =
                    (0..=random.below(150)).map(|_| format!("s{session}:{}", random.below(20))).collect();
                format!("get {}\r\n", keys.join(" "))
            }
            13 => format!("ms {key} {}{quiet} F5 k\r\n", value.len()),
            14 => format!("mg {key} v f k{quiet} O{}\r\n", random.below(100)),
            15 => format!("md {key}{quiet} I\r\n"),
            16 => format!("ma {key} v N0 J7{quiet}\r\n"),
            17 => "mn\r\n".to_owned(),
            _ => gets(random, session),
        };
        text.extend_from_slice(line.as_bytes());
        if ["set ", "add ", "append ", "ms "].iter().any(|verb| line.starts_with(verb)) {
            text.extend_from_slice(&value);
            text.extend_from_slice(b"\r\n");
        }
    }
    text
}

/// A pipeline of gets of one key each: they travel together.
fn gets(random: &mut Random, session: usize) -> String {
    let most = [1, 5, 40, 200][random.below(4)];
    let count = 1 + random.below(most);
    let line = |_| {
        let key = format!("s{session}:{}", random.below(12));
        match random.below(4) {
            0 => format!("mg {key} v k\r\n"),
            1 => format!("get {key}\n"),
            _ => format!("get {key}\r\n"),
        }
    };
    (0..count).map(line).collect()
}

struct Session {
    client: Client,
    input: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    reads: bool,
}

/// Runs all sessions to their end in random order.
fn run(cluster: &mut Cluster, sessions: &mut [Session], random: &mut Random) {
    let cores = cluster.engines.len();
    let mut calm = 0;
    while calm < 3 {
        let before: usize = sessions.iter().map(|session| session.sent + session.received.len()).sum();
        for _ in 0..200 {
            match random.below(4) {
                0 => {
                    let session = &mut sessions[random.below(cores * 3)];
                    let rest = session.input.len() - session.sent;
                    if rest > 0 && cluster.is_read(session.client) {
                        let most = [8, 100, 9000][random.below(3)];
                        let piece = rest.min(1 + random.below(most));
                        cluster.send(session.client, &session.input[session.sent..session.sent + piece]);
                        session.sent += piece;
                    }
                }
                1 => {
                    let session = &mut sessions[random.below(cores * 3)];
                    if session.reads || random.once(10) {
                        session.received.extend(cluster.receive(session.client));
                    }
                }
                2 => {
                    cluster.run(random.below(cores));
                }
                _ => {
                    let (from, to) = (random.below(cores), random.below(cores));
                    for _ in 0..random.below(4) {
                        cluster.deliver(from, to);
                    }
                }
            }
        }
        let after: usize = sessions.iter().map(|session| session.sent + session.received.len()).sum();
        let over = sessions.iter().all(|session| session.sent == session.input.len());
        if over && before == after {
            cluster.settle();
            calm += 1;
        } else {
            calm = 0;
        }
    }
    for session in sessions {
        cluster.finish(session.client);
        session.received.extend(cluster.receive(session.client));
        assert!(cluster.is_closed(session.client), "a session whose client has finished does not end");
    }
}

fn check_credits(cluster: &Cluster, seed: u64) {
    for (core, engine) in cluster.engines.iter().enumerate() {
        assert!(engine.credits().iter().all(|&credits| credits == CREDITS), "seed {seed}: credits of core {core}");
        assert!(engine.is_quiet(), "seed {seed}: core {core} has something under way");
        engine.shard().verify();
    }
}

/// Order per key and per session is kept and no reply is lost: each session gets what it would get alone.
fn sessions_get_what_they_would_get_alone(strict_order: bool) {
    for seed in seeds(8) {
        let mut random = Random(seed);
        let cores = 1 + random.below(6);
        let mut config = config();
        config.strict_order = strict_order;
        config.requests_per_turn = [1, 7, 512][random.below(3)];
        let mut cluster = Cluster::new(u16::try_from(cores).unwrap(), &config).napping(seed);
        let mut sessions: Vec<Session> = (0..cores * 3)
            .map(|number| Session {
                client: cluster.connect(number % cores),
                input: transcript(&mut random, number, 60),
                sent: 0,
                received: Vec::new(),
                reads: !random.once(3),
            })
            .collect();
        run(&mut cluster, &mut sessions, &mut random);
        check_credits(&cluster, seed);
        for (number, session) in sessions.iter().enumerate() {
            let mut alone = Cluster::new(1, &self::config());
            let client = alone.connect(0);
            let expected = alone.exchange(client, &session.input);
            assert!(session.received == expected, "seed {seed}: session {number} got other replies than alone");
        }
    }
}

#[test]
fn replies_are_in_order_and_complete() {
    sessions_get_what_they_would_get_alone(false);
}

#[test]
fn replies_are_in_order_and_complete_in_strict_order() {
    sessions_get_what_they_would_get_alone(true);
}

#[test]
fn increments_of_a_shared_key_are_all_counted_and_seen_in_order() {
    for seed in seeds(12) {
        let mut random = Random(seed);
        let cores = 2 + random.below(4);
        let mut cluster = Cluster::new(u16::try_from(cores).unwrap(), &config()).napping(seed);
        let first = cluster.connect(0);
        let last = cluster.connect(cores - 1);
        cluster.exchange(first, b"set n 0 0 1\r\n0\r\n");
        let mut sessions: Vec<Session> = (0..cores * 3)
            .map(|number| Session {
                client: cluster.connect(number % cores),
                input: b"incr n 1\r\n".repeat(50),
                sent: 0,
                received: Vec::new(),
                reads: true,
            })
            .collect();
        run(&mut cluster, &mut sessions, &mut random);
        for session in &sessions {
            let text = String::from_utf8(session.received.clone()).unwrap();
            let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
            assert_eq!(numbers.len(), 50, "seed {seed}");
            assert!(numbers.is_sorted_by(|a, b| a < b), "seed {seed}: {numbers:?}");
        }
        let total = cluster.exchange(last, b"get n\r\n");
        let expected = (sessions.len() * 50).to_string();
        assert!(String::from_utf8(total).unwrap().contains(&expected), "seed {seed}");
    }
}

#[test]
fn one_client_wins_whatever_the_delays() {
    for seed in seeds(30) {
        let mut random = Random(seed);
        let cores = 2 + random.below(4);
        let mut cluster = Cluster::new(u16::try_from(cores).unwrap(), &config()).napping(seed);
        let first = cluster.connect(0);
        let begin: &[u8] = [&b""[..], b"ms k 1\r\nx\r\nmd k I\r\n", b"ms k 1 T20\r\nx\r\n"][random.below(3)];
        cluster.exchange(first, begin);
        let mut sessions: Vec<Session> = (0..cores * 3)
            .map(|number| Session {
                client: cluster.connect(number % cores),
                input: b"mg k N30 R30\r\n".repeat(20),
                sent: 0,
                received: Vec::new(),
                reads: true,
            })
            .collect();
        run(&mut cluster, &mut sessions, &mut random);
        let replies: String =
            sessions.iter().map(|session| String::from_utf8(session.received.clone()).unwrap()).collect();
        let count = |mark| replies.lines().filter(|line| line.split(' ').any(|word| word == mark)).count();
        assert_eq!((count("W"), count("Z")), (1, sessions.len() * 20 - 1), "seed {seed}: {replies}");
    }
}

#[test]
fn a_closed_connection_strands_no_letter() {
    for seed in seeds(12) {
        let mut random = Random(seed);
        let mut cluster = Cluster::new(4, &config()).napping(seed);
        for _ in 0..20 {
            let core = random.below(4);
            let client = cluster.connect(core);
            cluster.send(client, &transcript(&mut random, 0, 40));
            for _ in 0..random.below(30) {
                let (from, to) = (random.below(4), random.below(4));
                cluster.deliver(from, to);
            }
            cluster.engines[core].close(client.id);
        }
        cluster.settle();
        check_credits(&cluster, seed);
    }
}

/// After the OK of a flush no older item is visible from any connection, and what is stored after it survives.
#[test]
fn an_immediate_flush_is_a_barrier_over_all_cores() {
    for seed in seeds(12) {
        let mut random = Random(seed);
        let cores = 2 + random.below(4);
        let mut cluster = Cluster::new(u16::try_from(cores).unwrap(), &config()).napping(seed);
        let clients: Vec<Client> = (0..cores).map(|core| cluster.connect(core)).collect();
        let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
        for key in &keys {
            cluster.exchange(clients[0], format!("set {key} 0 0 3 noreply\r\nold\r\n").as_bytes());
        }
        // A pipeline: the flush, then a store behind it, which must survive it.
        let by = clients[random.below(cores)];
        cluster.send(by, b"flush_all\r\nset k7 0 0 3\r\nnew\r\n");
        let mut reply = Vec::new();
        while !reply.starts_with(b"OK\r\n") {
            let (from, to) = (random.below(cores), random.below(cores));
            cluster.deliver(from, to);
            cluster.run(random.below(cores));
            reply.extend(cluster.receive(by));
        }
        let line = format!("get {}\r\n", keys.join(" "));
        for &client in &clients {
            let visible = String::from_utf8(cluster.exchange(client, line.as_bytes())).unwrap();
            assert!(!visible.contains("old"), "seed {seed}: an item older than the flush is visible");
        }
        cluster.settle();
        let visible = cluster.exchange(clients[0], line.as_bytes());
        assert_eq!(visible, b"VALUE k7 0 3\r\nnew\r\nEND\r\n", "seed {seed}");
    }
}

/// Two delayed flushes from different cores race; whichever letters come first, all shards end with the same one.
#[test]
fn racing_delayed_flushes_end_alike_on_every_shard() {
    for seed in seeds(40) {
        let mut random = Random(seed);
        let cores = 2 + random.below(4);
        let mut cluster = Cluster::new(u16::try_from(cores).unwrap(), &config()).napping(seed);
        let clients: Vec<Client> = (0..cores).map(|core| cluster.connect(core)).collect();
        let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
        for key in &keys {
            cluster.exchange(clients[0], format!("set {key} 0 0 3 noreply\r\nold\r\n").as_bytes());
        }
        cluster.send(clients[0], b"flush_all 5\r\n");
        cluster.send(clients[1], b"flush_all 20\r\n");
        for _ in 0..400 {
            let (from, to) = (random.below(cores), random.below(cores));
            cluster.deliver(from, to);
        }
        cluster.settle();
        let line = format!("get {}\r\n", keys.join(" "));
        cluster.exchange(clients[0], b"");
        cluster.exchange(clients[1], b"");
        cluster.advance(6_000);
        let count = |reply: Vec<u8>| String::from_utf8(reply).unwrap().matches("VALUE").count();
        let after_first = count(cluster.exchange(clients[0], line.as_bytes()));
        assert!(after_first == 0 || after_first == 40, "seed {seed}: {after_first} of 40 items are left");
        cluster.advance(15_000);
        let after_both = count(cluster.exchange(clients[0], line.as_bytes()));
        assert_eq!(after_both, 0, "seed {seed}: both moments have passed");
    }
}

/// A request about a key that core 1 of two owns, which travels in a letter of its own. Gets would share theirs.
fn delete_from_core_1() -> Vec<u8> {
    let routing = Routing::new(2);
    let is_far = |key: &String| routing.owner(Key::new(key.as_bytes()).unwrap()) == ShardId(1);
    let key = (0..10_000).map(|number| format!("k{number}")).find(is_far).unwrap();
    format!("delete {key}\r\n").into_bytes()
}

/// Clients of core 0 that use up its credits for core 1, each with so many `requests`.
fn use_up_credits(cluster: &mut Cluster, requests: usize) {
    for _ in 0..CREDITS / OUTSTANDING_PER_CONNECTION_MAX {
        let heavy = cluster.connect(0);
        cluster.send(heavy, &delete_from_core_1().repeat(requests));
    }
    assert_eq!(cluster.engines[0].credits()[1], 0);
}

#[test]
fn connections_that_close_while_they_wait_for_a_credit_keep_nobody_waiting() {
    let mut cluster = Cluster::new(2, &config());
    use_up_credits(&mut cluster, OUTSTANDING_PER_CONNECTION_MAX);
    for _ in 0..CREDITS {
        let gone = cluster.connect(0);
        cluster.send(gone, &delete_from_core_1());
        cluster.engines[0].close(gone.id);
    }
    let patient = cluster.connect(0);
    cluster.send(patient, &delete_from_core_1());
    cluster.settle();
    assert_eq!(cluster.receive(patient), b"NOT_FOUND\r\n");
}

#[test]
fn a_connection_gets_a_credit_though_others_have_much_to_send() {
    let mut cluster = Cluster::new(2, &config());
    use_up_credits(&mut cluster, 5 * OUTSTANDING_PER_CONNECTION_MAX);
    let patient = cluster.connect(0);
    cluster.send(patient, &delete_from_core_1());
    for home in 1.. {
        cluster.run(0);
        cluster.deliver(0, 1);
        assert!(cluster.deliver(1, 0));
        if !cluster.receive(patient).is_empty() {
            assert!(home <= 2 * CREDITS, "{home} letters of others came home first");
            break;
        }
    }
}
