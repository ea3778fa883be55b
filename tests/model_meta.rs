//! Random meta requests with every flag, as bytes through engines joined by letters, against an oracle of one page.
//!
//! `RINGCACHED_SEED=n` runs one seed alone.

#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a test may panic and build texts"
)]

#[path = "common/cluster.rs"]
mod cluster;
#[path = "common/meta_oracle.rs"]
mod meta_oracle;

use cluster::{Client, Cluster, Random, config, seeds};
use meta_oracle::{MetaOracle, Request};

const KEYS: usize = 6;
const BATCHES: usize = 150;

/// Flags with their arguments, and how often they come: versions chosen and compared are few, so that they meet.
const FLAGS: [(char, &[&str]); 20] = [
    ('v', &[""]),
    ('k', &[""]),
    ('O', &["", "abc", "1234567890123456789012345678901"]),
    ('q', &[""]),
    ('c', &[""]),
    ('f', &[""]),
    ('s', &[""]),
    ('t', &[""]),
    ('h', &[""]),
    ('l', &[""]),
    ('u', &[""]),
    ('x', &[""]),
    ('I', &[""]),
    ('T', &["0", "2", "30", "1000"]),
    ('N', &["0", "1", "30"]),
    ('R', &["0", "5", "100"]),
    ('C', &["900000001", "900000002", "900000003"]),
    ('E', &["900000001", "900000002", "900000003"]),
    ('F', &["0", "7", "4294967295"]),
    ('D', &["0", "1", "18446744073709551615"]),
];

fn request(random: &mut Random) -> Request {
    let verb = ['g', 'g', 'g', 's', 's', 's', 'd', 'a', 'a', 'n'][random.below(10)];
    let mut flags: Vec<(char, String)> = Vec::new();
    for _ in 0..random.below(6) {
        let (letter, arguments) = FLAGS[random.below(FLAGS.len())];
        if !flags.iter().any(|(there, _)| *there == letter) {
            flags.push((letter, arguments[random.below(arguments.len())].to_owned()));
        }
    }
    if random.once(3) {
        let modes: &[&str] = if verb == 'a' { &["I", "D", "+", "-"] } else { &["S", "E", "A", "P", "R"] };
        flags.push(('M', modes[random.below(modes.len())].to_owned()));
    }
    if verb == 'a' && random.once(3) {
        flags.push(('J', ["0", "99"][random.below(2)].to_owned()));
    }
    let value = ["", "0", "41", "18446744073709551615", "text"][random.below(5)].to_owned();
    let flags = if verb == 'n' { Vec::new() } else { flags };
    Request { verb, key: format!("key{}", random.below(KEYS)), flags, value }
}

/// Whether a reply is the expected one, in which `c?` stands for any version.
fn is_as_expected(reply: &str, expected: &str) -> bool {
    let mut rest = reply;
    for (index, part) in expected.split(" c?").enumerate() {
        if index > 0 {
            let Some(version) = rest.strip_prefix(" c") else { return false };
            rest = version.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        let Some(behind) = rest.strip_prefix(part) else { return false };
        rest = behind;
    }
    rest.is_empty()
}

fn run(cores: u16, seed: u64) {
    let mut random = Random(seed);
    let mut cluster = Cluster::new(cores, &config());
    let clients: Vec<Client> = (0..cores * 2).map(|number| cluster.connect(usize::from(number % cores))).collect();
    let mut oracle = MetaOracle::default();
    let mut seconds = 0;
    for _ in 0..BATCHES {
        if random.once(3) {
            let more = [1, 3, 40][random.below(3)];
            seconds += more;
            cluster.advance(more * 1000);
            oracle.set_time(seconds);
        }
        // A pipeline of one client: each key's requests take effect in their order.
        let requests: Vec<Request> = (0..=random.below(8)).map(|_| request(&mut random)).collect();
        let bytes: String = requests.iter().map(Request::bytes).collect();
        let client = clients[random.below(clients.len())];
        let reply = String::from_utf8(cluster.exchange(client, bytes.as_bytes())).unwrap();
        let expected: String = requests.iter().map(|request| oracle.answer(request)).collect();
        assert!(is_as_expected(&reply, &expected), "seed {seed}:\n{bytes}\nanswered\n{reply}\nexpected\n{expected}");
    }
    cluster.engines.iter().for_each(|engine| engine.shard().verify());
}

#[test]
fn one_core_answers_as_the_oracle() {
    for seed in seeds(150) {
        run(1, seed);
    }
}

#[test]
fn four_cores_answer_as_the_oracle() {
    for seed in seeds(150) {
        run(4, seed);
    }
}
