//! What the fuzz targets check, without a fuzzer: over their corpus, and over random inputs made of the protocol's own
//! words. A crash found by a fuzzer becomes a file of the corpus.
//!
//! `RINGCACHED_SEED=n` runs one random input alone.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../fuzz/checks.rs"]
mod checks;
#[path = "common/cluster.rs"]
mod cluster;
#[path = "common/store_model.rs"]
mod store_model;
#[path = "../fuzz/store_ops.rs"]
mod store_ops;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ringcached::protocol::binary::request::write_raw;
use ringcached::protocol::binary::{OPCODES, Opcode, Tag, Verb};
use ringcached::protocol::udp::Frame;

use cluster::{Random, seeds};

/// Runs a check over the committed inputs of a target.
fn over_corpus(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().display();
        assert!(catch_unwind(|| check(&data)).is_ok(), "{target}: {name}");
        count += 1;
    }
    assert!(count > 3, "{target}: {count} files");
}

/// Runs a check over random inputs.
fn over_random_inputs(count: u64, input: fn(&mut Random) -> Vec<u8>, check: fn(&[u8])) {
    for seed in seeds(count) {
        let data = input(&mut Random(seed));
        assert!(catch_unwind(AssertUnwindSafe(|| check(&data))).is_ok(), "seed {seed}: {}", data.escape_ascii());
    }
}

const VERBS: [&str; 24] = [
    "get",
    "gets",
    "gat",
    "gats",
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "delete",
    "incr",
    "decr",
    "touch",
    "flush_all",
    "version",
    "verbosity",
    "stats",
    "stats reset",
    "cache_memlimit",
    "shutdown",
    "quit",
    "mg",
    "GET",
];
const WORDS: [&str; 26] = [
    "a",
    "b",
    "key",
    "0",
    "1",
    "2",
    "3",
    "10",
    "-1",
    "64",
    "17000",
    "30000",
    "4294967296",
    "2592001",
    "2147483645",
    "2147483646",
    "18446744073709551615",
    "18446744073709551616",
    "noreply",
    "noreply",
    "HTTP/1.1",
    "",
    "+1",
    "x",
    "reset",
    "settings",
];
const ENDS: [&[u8]; 5] = [b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"];

/// Lines of words, among them storage requests that mean it, long runs of a byte, and bytes of any kind.
fn input(random: &mut Random) -> Vec<u8> {
    let mut data = vec![byte(random), byte(random)];
    for _ in 0..=random.below(25) {
        match random.below(12) {
            0 => (0..random.below(12)).for_each(|_| data.push(byte(random))),
            1 => {
                let (byte, len) = (b"k v\n0"[random.below(5)], [20, 251, 2050][random.below(3)]);
                data.resize(data.len() + len, byte);
            }
            2..6 => {
                let lens = if random.once(10) { [17_000, 20_001, 20_000, 16_384] } else { [0, 1, 3, 300] };
                let len = lens[random.below(4)];
                let (verb, key) = (VERBS[4 + random.below(5)], WORDS[random.below(3)]);
                let noreply = if random.once(3) { " noreply" } else { "" };
                data.extend_from_slice(format!("{verb} {key} 0 0 {len}{noreply}\r\n").as_bytes());
                data.resize(data.len() + len, b'7');
                data.extend_from_slice(ENDS[random.below(5)]);
            }
            6 => {
                let keys = ["a ", "b ", "none "][random.below(3)].repeat(random.below(200));
                data.extend_from_slice(format!("get key {keys}\r\n").as_bytes());
            }
            _ => {
                data.extend_from_slice(VERBS[random.below(VERBS.len())].as_bytes());
                for _ in 0..random.below(7) {
                    data.push(b' ');
                    data.extend_from_slice(WORDS[random.below(WORDS.len())].as_bytes());
                }
                data.extend_from_slice(ENDS[random.below(5)]);
            }
        }
    }
    data
}

/// Flags of meta requests, with and without arguments that fit.
const FLAGS: [&str; 44] = [
    "b", "k", "Oabc", "q", "q", "v", "v", "c", "f", "s", "t", "h", "l", "u", "x", "I", "T0", "T30", "T-1", "Tx", "N0",
    "N30", "R30", "R100", "C1", "C5", "C", "E7", "E1000000", "F5", "Fx", "D3", "Dx", "J10", "J", "MS", "MA", "MP",
    "ME", "MR", "MI", "MD", "Pxy", "!",
];

/// Meta lines, most of them legal.
fn meta_input(random: &mut Random) -> Vec<u8> {
    let mut data = vec![byte(random), byte(random)];
    let keys = ["a", "b", "n", "Zm9v", "YSBiCmM="];
    for _ in 0..=random.below(25) {
        let verb = [b'g', b'g', b's', b's', b'd', b'a', b'e', b'n'][random.below(8)];
        data.extend_from_slice(&[b'm', verb, b' ']);
        data.extend_from_slice(keys[random.below(keys.len())].as_bytes());
        let value_len = [0, 1, 3, 300, 17_000][if random.once(20) { 4 } else { random.below(4) }];
        if verb == b's' {
            data.extend_from_slice(format!(" {value_len}").as_bytes());
        }
        let count = if random.once(30) { 22 } else { random.below(5) };
        for _ in 0..count {
            data.push(b' ');
            data.extend_from_slice(FLAGS[random.below(FLAGS.len())].as_bytes());
        }
        data.extend_from_slice(ENDS[random.below(4)]);
        if verb == b's' {
            data.resize(data.len() + value_len, b'7');
            data.extend_from_slice(b"\r\n");
        }
    }
    data
}

/// Packets, most of them legal.
fn binary_input(random: &mut Random) -> Vec<u8> {
    let mut data = vec![byte(random), byte(random)];
    for _ in 0..=random.below(25) {
        let (opcode, ..) = OPCODES[random.below(OPCODES.len())];
        let extras_len = [0, 0, 4, 8, 20][random.below(5)];
        // Mostly what the opcode takes; the table of lengths is the parser's own business.
        let extras_len = if random.once(20) { extras_len } else { usual_extras_len(opcode) };
        let extras: Vec<u8> = (0..extras_len).map(|_| [0, 0, 0, 1, 100, 0xff][random.below(6)]).collect();
        let key: &[u8] = if random.once(20) || is_keyless(opcode) { b"" } else { [b"a", b"b", b"n"][random.below(3)] };
        let value_len =
            [0, 1, 3, 300, 17_000, 20_001][if random.once(20) { 2 + random.below(4) } else { random.below(3) }];
        let value_len = if takes_value(opcode) || random.once(40) { value_len } else { 0 };
        let cas = if random.once(5) { random.below(5) as u64 } else { 0 };
        let opcode = if random.once(30) { byte(random) } else { opcode };
        let begin = data.len();
        write_raw(Tag { opcode, opaque: [1, 2, 3, 4] }, cas, [&extras, key, &vec![b'7'; value_len]], &mut data);
        if random.once(60) {
            let at = begin + random.below(24);
            data[at] = byte(random);
        }
    }
    data
}

/// Datagrams with requests of every dialect, few of them broken.
fn udp_input(random: &mut Random) -> Vec<u8> {
    let mut data = vec![byte(random), byte(random)];
    for _ in 0..=random.below(5) {
        let generate = [input, meta_input, binary_input][random.below(3)];
        let payload = &generate(random)[2..];
        let total = if random.once(20) { 2 } else { 1 };
        let mut datagram = Vec::new();
        Frame { request_id: 7, sequence: 0, total, payload: &payload[..payload.len().min(65_000)] }
            .write(&mut datagram);
        let len = if random.once(20) { random.below(datagram.len()) } else { datagram.len() };
        data.extend_from_slice(&u16::try_from(len).unwrap().to_le_bytes());
        data.extend_from_slice(&datagram[..len]);
    }
    data
}

/// Bytes of any kind: each means a request to the store or a part of one.
fn store_input(random: &mut Random) -> Vec<u8> {
    (0..random.below(2000)).map(|_| byte(random)).collect()
}

const fn usual_extras_len(opcode: u8) -> usize {
    match Opcode::of(opcode) {
        Some(Opcode { verb: Verb::Set | Verb::Add | Verb::Replace, .. }) => 8,
        Some(Opcode { verb: Verb::Increment | Verb::Decrement, .. }) => 20,
        Some(Opcode { verb: Verb::Touch | Verb::Gat | Verb::GatK, .. }) => 4,
        _ => 0,
    }
}

const fn is_keyless(opcode: u8) -> bool {
    matches!(
        Opcode::of(opcode),
        Some(Opcode { verb: Verb::Flush | Verb::Noop | Verb::Version | Verb::Stat | Verb::Quit | Verb::SaslList, .. })
    )
}

const fn takes_value(opcode: u8) -> bool {
    matches!(
        Opcode::of(opcode),
        Some(Opcode {
            verb: Verb::Set | Verb::Add | Verb::Replace | Verb::Append | Verb::Prepend | Verb::SaslAuth,
            ..
        })
    )
}

fn byte(random: &mut Random) -> u8 {
    u8::try_from(random.below(256)).unwrap()
}

#[test]
fn streams_of_the_corpus() {
    over_corpus("text_stream", checks::text_stream);
}

#[test]
fn requests_of_the_corpus() {
    over_corpus("text_request", checks::text_request);
}

#[test]
fn random_streams() {
    over_random_inputs(1000, input, checks::text_stream);
}

#[test]
fn random_requests() {
    over_random_inputs(4000, input, checks::text_request);
}

#[test]
fn meta_of_the_corpus() {
    over_corpus("meta", checks::meta);
}

#[test]
fn random_meta() {
    over_random_inputs(1000, meta_input, checks::meta);
}

#[test]
fn packets_of_the_corpus() {
    over_corpus("binary", checks::binary);
}

#[test]
fn random_packets() {
    over_random_inputs(1000, binary_input, checks::binary);
}

#[test]
fn datagrams_of_the_corpus() {
    over_corpus("udp", checks::udp);
}

#[test]
fn random_datagrams() {
    over_random_inputs(300, udp_input, checks::udp);
}

#[test]
fn store_requests_of_the_corpus() {
    over_corpus("store_ops", store_ops::store_ops);
}

#[test]
fn random_store_requests() {
    over_random_inputs(300, store_input, store_ops::store_ops);
}
