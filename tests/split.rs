//! Whatever way a client's bytes are cut into reads, the replies are the same: after every single byte, byte by byte,
//! and cut at random, on one engine and on four joined by letters.
//!
//! `RINGCACHED_SEED=n` runs one seed of the random cuts alone.

#![allow(clippy::format_collect, reason = "texts of tests are built to be read, not to be fast")]

#[path = "common/cluster.rs"]
mod cluster;

use std::collections::BTreeSet;

use cluster::{Cluster, Random, config, seeds};
use ringcached::protocol::binary::request::write_raw;
use ringcached::protocol::binary::{OPCODES, REQUEST_MAGIC, Tag, Verb};

/// Values above this are too large for an item; values of 16 KiB and more have memory of their own.
const VALUE_LEN_MAX: usize = 16_400;
/// A short transcript is cut at each byte; in a long one, long runs of the same byte are cut here and there only.
const SHORT: usize = 4000;

const CORES: [u16; 2] = [1, 4];

/// Every storage verb, its replies and its silence.
const STORAGE: &[u8] = b"set a 1 0 3\r\nabc\r\n\
    add a 2 0 1\r\nx\r\nadd b 2 0 1\r\ny\r\n\
    replace b 3 0 2\r\nzz\r\nreplace none 3 0 2\r\nzz\r\n\
    append a 0 0 2\r\nde\r\nprepend a 0 0 2\r\n_-\r\nappend none 0 0 2\r\nde\r\nprepend none 0 0 1\r\nx\r\n\
    gets a b\r\ncas a 9 0 2 1\r\nok\r\ncas a 9 0 2 999999\r\nno\r\ncas none 9 0 2 1\r\nno\r\ncas a 9 0 2 0\r\nno\r\n\
    set c 0 0 0\r\n\r\nset d 0 0 4\r\n\r\n\r\n\r\nset e 0 -1 1\r\nx\r\n\
    set a 0 0 1 noreply\r\n1\r\nadd f 0 0 1 noreply\r\n1\r\nreplace a 0 0 1 noreply\r\n2\r\n\
    append a 0 0 1 noreply\r\n3\r\nprepend a 0 0 1 noreply\r\n4\r\ncas a 0 0 1 77 noreply\r\n5\r\n\
    gets a b c d e f\r\n";

/// Everything else that has a line of its own.
const LINES: &[u8] = b"set n 0 0 2 noreply\r\n99\r\nincr n 1\r\ndecr n 1\r\nincr none 1\r\ndecr n 1000 noreply\r\nincr n 5 noreply\r\n\
    touch n 100\r\ntouch none 100\r\ntouch n 0 noreply\r\ngat 50 n none\r\ngats 0 n n\r\nget n\ngets n\n\
    delete n\r\ndelete n\r\ndelete n 0\r\ndelete n noreply\r\n\
    set k 0 0 1\r\nv\r\nflush_all\r\nget k\r\nset k 0 0 1\r\nv\r\nflush_all 0 noreply\r\nget k\r\nset k 0 0 1\r\nv\r\nflush_all 100\r\n\
    get   k    none  k  \r\nversion\r\nversion x\r\nverbosity 1\r\nverbosity 0 noreply\r\nstats reset\r\nstats settings\r\n\
    cache_memlimit 64\r\ncache_memlimit 64 noreply\r\nget noreply\r\nquit\r\nget k\r\n";

/// Every error line, what is skipped behind some of them, and bad data chunks.
const ERRORS: &[u8] = b"\r\n\nx\r\nxx\r\nGET a\r\n get a\r\nget\r\nget \r\nset\r\nset a 0 0\r\nset a 0 0 -1\r\nset a 0 0 x\r\n\
    set a x 0 3\r\nget\r\nset a 0 x 3 noreply\r\nget\r\ncas a 0 0 3 x\r\n\r\n\n\r\nset a 4294967296 0 3\r\nabc\r\n\
    set a 0 0 3\r\nabcd\r\nset a 0 0 3\r\nab\r\nget a\r\nset a 0 0 3 noreply\r\nabc\nxset a 0 0 1\nv\r\nset b 0 0 1\r\nv\nget a\r\n\
    incr a x\r\nincr a\r\nset a 0 0 1\r\nv\r\nincr a 1\r\ndecr a 1 noreply\r\ntouch a\r\ntouch a x\r\ntouch a x noreply\r\n\
    touch a 99999999999\r\ngat x a\r\ngat 1\r\ndelete\r\ndelete a b c d e f\r\nflush_all x\r\nverbosity\r\nstats nonsense\r\n\
    cache_memlimit 1\r\ncache_memlimit x\r\ncache_memlimit 9999999999\r\nshutdown\r\nshutdown now\r\nget a\r\nPOST / HTTP/1.1\r\nget a\r\n";

/// Every meta command with every flag, what is quiet and what is refused.
const META: &[u8] = b"mn\r\nms a 3 F5 T100 k Oq s\r\nabc\r\nmg a v s f t h l k O1\r\nmg a\r\nmg none v k q\r\nmg none k O2\r\n\
    ms a 2 q ME\r\nxx\r\nms a 2 q\r\nyy\r\nms Zm9v 1 b\r\nz\r\nmg Zm9v b k v\r\nmg foo k\r\nmg Zm9 b\r\nms Zm9 4 b\r\nmn x\r\n\
    ms a 1 MA s\r\n1\r\nms a 1 MP N5 s\r\n2\r\nms new 1 MA N50 s\r\n2\r\nms a 1 MR E90\r\n3\r\nms a 1 C89 I E91\r\n4\r\nmg a v\r\nmg a v\r\n\
    ms a 1 C5\r\nx\r\nms none 1 C5\r\nx\r\nms a 4 z\r\nmn x\r\nms a 4 T\r\nmn x\r\nms a\r\nms a x\r\nms a 3\r\nabcd\r\n\
    md a I T30\r\nmg a v t\r\nmg a v t\r\nmd a x q\r\nmg a v f\r\nmd a C1\r\nmd a k\r\nmd a q\r\nmg viv N30 t v\r\nmg viv N30\r\nmg viv R100\r\n\
    ma n N0 J10 v t\r\nma n D5 v E7 c\r\nma n MD q\r\nma n C8\r\nma none\r\nma foo v\r\nma n z\r\nme none\r\nmg n v\r\n\
    ms n 17000 q\r\nmx n\r\nmg\r\nmn\r\n";

/// Packets of every opcode, loud and quiet, with what is refused, skipped and too large; `large` is a value's length.
fn packets(large: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut opaque = 0_u32;
    let mut packet = |opcode: u8, cas, parts: [&[u8]; 3]| {
        opaque += 1;
        write_raw(Tag { opcode, opaque: opaque.to_be_bytes() }, cas, parts, &mut bytes);
    };
    let (set, number, touch) = ([0, 0, 0, 7, 0, 0, 0, 0], [1; 20], [0, 0, 0, 100]);
    for key in [b"a".as_slice(), &[b'k'; 250]] {
        for (opcode, verb, _) in OPCODES.into_iter().filter(|_| large < SHORT) {
            match verb {
                Verb::Set | Verb::Add | Verb::Replace => packet(opcode, 0, [&set, key, b"value"]),
                Verb::Append | Verb::Prepend => packet(opcode, 0, [b"", key, b"more"]),
                Verb::Get | Verb::GetK | Verb::Delete => packet(opcode, 0, [b"", key, b""]),
                Verb::Touch | Verb::Gat | Verb::GatK => packet(opcode, 0, [&touch, key, b""]),
                Verb::Increment | Verb::Decrement => packet(opcode, 0, [&number, key, b""]),
                Verb::Flush => packet(opcode, 0, [&[0; 4], b"", b""]),
                Verb::SaslAuth | Verb::SaslStep => packet(opcode, 0, [b"", b"PLAIN", b"\0a\0b"]),
                Verb::Noop | Verb::Version | Verb::SaslList => packet(opcode, 0, [b""; 3]),
                Verb::Stat | Verb::Quit => {}
            }
        }
    }
    packet(0x01, 99, [&set, b"a", b"none"]);
    packet(0x1b, 0, [b"1234", b"key", b"value"]);
    packet(0x11, 0, [&set, b"large", &vec![b'v'; large]]);
    packet(0x0d, 0, [b"", b"large", b""]);
    packet(0x19, 0, [b"", b"large", b"and more"]);
    packet(0x0d, 0, [b"", b"large", b""]);
    packet(0x10, 0, [b"", b"nonsense", b""]);
    packet(0x0a, 0, [b""; 3]);
    packet(0x00, 0, [b"no extras", b"key", b""]);
    packet(0x0a, 0, [b""; 3]);
    bytes
}

struct Transcript {
    name: &'static str,
    bytes: Vec<u8>,
    /// A reply that must be among the others, so that no transcript falls silent unseen.
    must_hold: &'static str,
}

fn transcripts() -> Vec<Transcript> {
    let transcript = |name, bytes, must_hold| Transcript { name, bytes, must_hold };
    let long_key = "k".repeat(250);
    let too_long = "k".repeat(251);
    let keys = format!(
        "set {long_key} 0 0 1\r\nv\r\nset {too_long} 0 0 5\r\nget a\r\n\r\nget {long_key}\r\nget a {too_long} a\r\n\
         delete {too_long}\r\nincr {too_long} 1\r\ntouch {too_long} 1\r\nversion\r\n"
    );
    let stores: String =
        (0..12).map(|number| format!("set key{number} 0 0 2 noreply\r\nv{}\r\n", number % 10)).collect();
    let long_get = format!("{stores}get {}\r\nversion\r\n", (0..150).map(|n| format!("key{n} ")).collect::<String>());
    let endless = [b"version\r\n".as_slice(), &[b'y'; 2100], b"\r\nversion\r\n"].concat();
    let skipped = format!(
        "set a x 0 5000\r\n{}\r\nset b 0 0 17000 noreply\r\n{}\r\nversion\r\n",
        "s".repeat(5000),
        "t".repeat(17_000)
    );
    let mut transcripts = vec![
        transcript("storage", STORAGE.to_vec(), "EXISTS\r\n"),
        transcript("lines", LINES.to_vec(), "TOUCHED\r\n"),
        transcript("errors", ERRORS.to_vec(), "CLIENT_ERROR bad data chunk\r\n"),
        transcript("meta", META.to_vec(), "Z X\r\n4\r\n"),
        transcript("keys at their limit", keys.into_bytes(), "VALUE kkk"),
        transcript("a long get", long_get.into_bytes(), "VALUE key11 0 2\r\nv1\r\nEND\r\nVERSION"),
        transcript("a line without an end", endless, "VERSION"),
        transcript("skipped values", skipped.into_bytes(), "CLIENT_ERROR bad command line format\r\n"),
    ];
    let foreign = [&packets(30)[..packets(30).len() - 59], b"get a\r\n"].concat();
    transcripts.push(transcript("packets, and then text", foreign, "Unknown command"));
    for len in [16_383, 16_384, VALUE_LEN_MAX, VALUE_LEN_MAX + 1] {
        let must_hold = if len > VALUE_LEN_MAX { "Too large." } else { "vvvv" };
        transcripts.push(transcript("packets", packets(len), must_hold));
        let must_hold =
            if len > VALUE_LEN_MAX { "SERVER_ERROR object too large for cache\r\n" } else { "VALUE l 5 16" };
        transcripts.push(transcript("a large value", large(len), must_hold));
    }
    transcripts
}

/// A large value stored, silently joined, announced wrongly and read.
fn large(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (line, end) in [("set l 5 0", "\r\n"), ("append l 0 0", "\r\n"), ("set l 0 0", "xx")] {
        let noreply = if line.starts_with("append") { " noreply" } else { "" };
        bytes.extend_from_slice(format!("{line} {len}{noreply}\r\n").as_bytes());
        bytes.resize(bytes.len() + len, b'v');
        bytes.extend_from_slice(end.as_bytes());
    }
    bytes.extend_from_slice(b"gets l none l\r\nappend l 0 0 1\r\nx\r\nget l\r\n");
    bytes
}

/// What a client gets for these reads, and whether the server ended the conversation. Between two reads all letters
/// arrive and the client takes its replies (`settled`), or nothing happens.
fn replies<'a>(
    cores: u16,
    reads: impl Iterator<Item = &'a [u8]>,
    mut settled: impl FnMut() -> bool,
) -> (Vec<u8>, bool) {
    let mut config = config();
    config.shard.item_size_max = VALUE_LEN_MAX;
    let mut cluster = Cluster::new(cores, &config);
    let client = cluster.connect(usize::from(cores) - 1);
    let mut received = Vec::new();
    for read in reads {
        if settled() {
            received.extend(cluster.exchange(client, read));
        } else {
            cluster.send(client, read);
        }
    }
    received.extend(cluster.exchange(client, b""));
    (received, cluster.is_closed(client))
}

fn whole(cores: u16, transcript: &Transcript) -> (Vec<u8>, bool) {
    let expected = replies(cores, [transcript.bytes.as_slice()].into_iter(), || true);
    let text = String::from_utf8_lossy(&expected.0);
    assert!(text.contains(transcript.must_hold), "{}: {}", transcript.name, &text[..text.len().min(2000)]);
    expected
}

/// Places to cut at: all of them, but of long runs of one byte only their ends and some between.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    let alike = |at: usize| {
        bytes.len() > SHORT
            && at >= 40
            && bytes[at - 40..bytes.len().min(at + 40)].iter().all(|&byte| byte == bytes[at])
    };
    (1..bytes.len()).filter(|&at| !alike(at) || at % 997 == 0).collect()
}

fn assert_same(found: &(Vec<u8>, bool), expected: &(Vec<u8>, bool), what: &str) {
    if found != expected {
        let same = found.0.iter().zip(&expected.0).take_while(|(a, b)| a == b).count();
        let show = |reply: &[u8]| reply[same.saturating_sub(30)..reply.len().min(same + 60)].escape_ascii().to_string();
        let (found_at, expected_at) = (show(&found.0), show(&expected.0));
        panic!(
            "{what}: from byte {same} on\n {found_at}\nexpected\n {expected_at}\nclosed: {} {}",
            found.1, expected.1
        );
    }
}

#[test]
fn a_cut_after_any_byte_changes_nothing() {
    for transcript in transcripts() {
        for cores in CORES {
            let expected = whole(cores, &transcript);
            for at in cuts(&transcript.bytes) {
                let (front, back) = transcript.bytes.split_at(at);
                let found = replies(cores, [front, back].into_iter(), || true);
                assert_same(&found, &expected, &format!("{} cut at {at} on {cores} cores", transcript.name));
            }
        }
    }
}

#[test]
fn byte_by_byte_changes_nothing() {
    for transcript in transcripts() {
        for cores in CORES {
            let expected = whole(cores, &transcript);
            for settled in [true, false] {
                let found = replies(cores, transcript.bytes.chunks(1), || settled);
                assert_same(&found, &expected, &format!("{} by bytes on {cores} cores", transcript.name));
            }
        }
    }
}

#[test]
fn random_cuts_change_nothing() {
    for seed in seeds(5) {
        for transcript in transcripts() {
            for cores in CORES {
                let expected = whole(cores, &transcript);
                let mut random = Random(seed);
                let most = [4, 30, 300, 5000][random.below(4)];
                let mut places = BTreeSet::from([0, transcript.bytes.len()]);
                let mut at = 0;
                while at < transcript.bytes.len() {
                    places.insert(at);
                    at += 1 + random.below(most);
                }
                let places: Vec<usize> = places.into_iter().collect();
                let reads = places.windows(2).map(|two| &transcript.bytes[two[0]..two[1]]);
                let found = replies(cores, reads, || random.once(2));
                assert_same(&found, &expected, &format!("seed {seed}: {} on {cores} cores", transcript.name));
            }
        }
    }
}

#[test]
fn one_engine_and_four_differ_in_nothing_but_uniques() {
    for transcript in transcripts() {
        let [one, four] = CORES.map(|cores| whole(cores, &transcript));
        let is_binary = transcript.bytes.first() == Some(&REQUEST_MAGIC);
        if !is_binary && !transcript.bytes.windows(4).any(|four| four == b"gets" || four == b"gats" || four == b"cas ")
        {
            assert_same(&four, &one, transcript.name);
        }
    }
}
