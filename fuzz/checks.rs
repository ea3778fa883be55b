//! What the fuzz targets check; `tests/fuzz_corpus.rs` checks the same without a fuzzer. Whoever includes this file has
//! `tests/common/cluster.rs` as `cluster` beside it.

#![allow(clippy::unwrap_used, dead_code, reason = "a check panics when it fails; not every target uses all of it")]

use ringcached::engine::Address;
use ringcached::limits::{
    INPUT_BACKLOG_MAX, KEY_LEN_MAX, LINE_LEN_MAX, META_TOKENS_MAX, MULTIGET_WINDOW_KEYS, OUTPUT_BACKLOG_MAX,
    SHARED_VALUE_LEN_MIN, UDP_DATAGRAM_LEN_MAX, UDP_REPLY_MAX_RANGE, VALUE_LEN_ANNOUNCED_MAX,
};
use ringcached::protocol::binary::request::{After, Command, Parsed as ParsedPacket, parse as parse_packet};
use ringcached::protocol::binary::{HEADER_LEN, REQUEST_MAGIC, response};
use ringcached::protocol::meta::request::Line;
use ringcached::protocol::meta::response::{Code, Reply};
use ringcached::protocol::meta::{self, MetaFlags, MetaRequest, Verb};
use ringcached::protocol::udp::{self, Frame};
use ringcached::protocol::{Keys, Parsed, Request, text};

use crate::cluster::{Client, Cluster, Random, config};

/// Values above this are too large for an item: little, so that small inputs get there.
const VALUE_LEN_MAX: usize = 20_000;
/// More than the longest reply to one request that shows no values: statistics.
const REPORT_LEN_MAX: usize = 64 << 10;
/// A read of a driver.
const READ_LEN_MAX: usize = 4096;

/// What a packet that asks for statistics begins with.
const STAT_PACKET: [u8; 2] = [REQUEST_MAGIC, 0x10];

/// The first byte seeds the cuts, the second chooses one core or three, the rest is what a client sends. However it is
/// cut nothing panics, backlogs stay within their limits, and the replies are those to the input in one piece.
pub(crate) fn text_stream(data: &[u8]) {
    let [seed, cores, stream @ ..] = data else { return };
    let cores = if cores % 2 == 0 { 1 } else { 3 };
    let (cut, cut_closed) = cut_at_random(cores, u64::from(*seed), stream);
    let mut cluster = new_cluster(cores);
    let client = cluster.connect(0);
    let whole = cluster.exchange(client, stream);
    assert_eq!(cluster.is_closed(client), cut_closed, "the cuts decide whether the connection is closed");
    // Statistics count reads and bytes as they come.
    let has_statistics =
        stream.windows(5).any(|word| word == b"stats") || stream.windows(2).any(|word| word == STAT_PACKET);
    if !has_statistics {
        assert!(whole == cut, "whole: {}\ncut: {}", whole.escape_ascii(), cut.escape_ascii());
    }
    cluster.engines.iter().for_each(|engine| engine.shard().verify());
}

fn new_cluster(cores: u16) -> Cluster {
    let mut config = config();
    config.shard.item_size_max = VALUE_LEN_MAX;
    Cluster::new(cores, &config)
}

/// Sends `stream` in reads of random length, as a driver does: only while the engine wants to read. Between reads
/// letters are delivered or not, and the client takes its replies or not.
fn cut_at_random(cores: u16, seed: u64, stream: &[u8]) -> (Vec<u8>, bool) {
    let mut random = Random(seed);
    let mut cluster = new_cluster(cores);
    let client = cluster.connect(0);
    let line_len_max = stream.split(|&byte| byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    let most = [3, 40, READ_LEN_MAX][random.below(3)];
    let mut received = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        if !cluster.is_read(client) {
            if cluster.is_closed(client) {
                break;
            }
            received.extend(cluster.exchange(client, b""));
            // Nothing stands in the way any more: either it is read again, or it is over.
            assert!(cluster.is_read(client) || cluster.is_closed(client), "a connection is stuck");
            continue;
        }
        let (read, behind) = rest.split_at(rest.len().min(1 + random.below(most)));
        rest = behind;
        cluster.send(client, read);
        if random.once(2) {
            cluster.settle();
        }
        check_backlog(&mut cluster, client, line_len_max);
        if random.once(20) {
            received.extend(cluster.receive(client));
        }
    }
    received.extend(cluster.exchange(client, b""));
    (received, cluster.is_closed(client))
}

fn check_backlog(cluster: &mut Cluster, client: Client, line_len_max: usize) {
    let (input, output) = cluster.engines[client.core].backlog(client.id);
    // An unfinished line (a get may be long) or small value, what may wait, and the read that went beyond.
    let input_max = LINE_LEN_MAX.max(line_len_max) + SHARED_VALUE_LEN_MIN + INPUT_BACKLOG_MAX + READ_LEN_MAX;
    assert!(input <= input_max, "{input} bytes of input wait, at most {input_max} may");
    let value_max = VALUE_LEN_MAX + 512;
    let output_max = OUTPUT_BACKLOG_MAX + MULTIGET_WINDOW_KEYS * value_max + REPORT_LEN_MAX;
    assert!(output <= output_max, "{output} bytes of output wait, at most {output_max} may");
}

/// No line makes the parser panic, and what it lets pass is legal.
pub(crate) fn text_request(data: &[u8]) {
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        // Whoever looks for the end of a line asks this about its beginning.
        let may_grow = text::request::may_grow(line);
        match text::request::parse(line) {
            Parsed::Request(Request::Retrieve(_, keys)) => check_keys(line, keys),
            Parsed::Request(Request::Change { key, .. }) => check_key(line, key.as_bytes()),
            Parsed::Request(Request::Store(head)) => {
                check_key(line, head.key.as_bytes());
                assert!(head.value_len as u64 <= VALUE_LEN_ANNOUNCED_MAX);
                assert!(!may_grow);
            }
            Parsed::Skip { bytes, .. } => assert!((2..=VALUE_LEN_ANNOUNCED_MAX + 2).contains(&(bytes as u64))),
            _ => {}
        }
    }
}

/// A meta request that the parser lets pass is legal, says the same written anew, and is the same after a journey to
/// another core; every line of a reply is one that a client can read, and [`text_stream`] holds for the same bytes.
pub(crate) fn meta(data: &[u8]) {
    let [_, _, stream @ ..] = data else { return };
    for line in stream.split_inclusive(|&byte| byte == b'\n') {
        match text::request::parse(line) {
            Parsed::Request(Request::Meta(request)) => check_meta(line, &request, None),
            Parsed::Request(Request::MetaStore { request, value_len }) => check_meta(line, &request, Some(value_len)),
            _ => {}
        }
    }
    check_replies(stream);
    text_stream(data);
}

fn check_meta(line: &[u8], request: &MetaRequest<'_>, value_len: Option<usize>) {
    let mut buffer = [0; KEY_LEN_MAX];
    let key = request.key(&mut buffer).expect("a parsed request has a key");
    let flags = request.flags;
    let letters: Vec<u8> = flags.iter().map(|flag| flag.letter).collect();
    for letter in b'A'..=b'z' {
        let is_there = letter.is_ascii_alphabetic() && letters.contains(&letter);
        // `me` knows the word b alone.
        let counts = request.verb != Verb::Debug
            || letter == b'b' && flags.iter().any(|flag| flag.letter == b'b' && flag.argument.is_empty());
        assert_eq!(letter.is_ascii_alphabetic() && flags.has(letter), is_there && counts, "{}", line.escape_ascii());
    }
    if request.verb == Verb::Debug {
        return;
    }
    assert!(letters.len() <= META_TOKENS_MAX);
    let mut written = Vec::new();
    let mut again = Line::new(&mut written, request.verb, key, value_len);
    for flag in flags.iter().filter(|flag| flag.letter != b'b') {
        again = again.text(flag.letter, flag.argument);
    }
    again.end();
    // Written with a flag b of its own where the key needs it, it may have a word too many.
    let (same, same_len) = match text::request::parse(&written) {
        Parsed::Request(Request::Meta(same)) => (same, None),
        Parsed::Request(Request::MetaStore { request, value_len }) => (request, Some(value_len)),
        other => {
            assert!(letters.len() + 3 >= META_TOKENS_MAX || key.as_bytes().len() > 186, "{other:?}");
            return;
        }
    };
    let mut buffer = [0; KEY_LEN_MAX];
    assert_eq!((same.verb, same.key(&mut buffer), same_len), (request.verb, Some(key), value_len));
    let kept = |flags: MetaFlags<'_>| -> Vec<Vec<u8>> {
        flags.iter().filter(|flag| flag.letter != b'b').map(|flag| [&[flag.letter], flag.argument].concat()).collect()
    };
    assert_eq!(kept(same.flags), kept(flags));
    for (letter, is_number) in [(b'T', false), (b'N', false), (b'R', false), (b'C', true), (b'E', true), (b'D', true)] {
        let is_read = if is_number { flags.number(letter).is_some() } else { flags.exptime(letter).is_some() };
        assert_eq!(is_read, flags.has(letter), "{}", line.escape_ascii());
    }
}

/// Sends the lines that are no statistics, values or ends of a conversation one by one, each to a fresh line's start,
/// and reads what comes.
fn check_replies(stream: &[u8]) {
    let mut cluster = new_cluster(1);
    let client = cluster.connect(0);
    for line in stream.split_inclusive(|&byte| byte == b'\n').take(50) {
        let Parsed::Request(Request::Meta(request)) = text::request::parse(line) else { continue };
        let reply = cluster.exchange(client, line);
        let Some(first) = reply.split(|&byte| byte == b'\n').next().filter(|first| !first.is_empty()) else { continue };
        let first = first.strip_suffix(b"\r").expect("a line ends in CRLF");
        match meta::response::parse(first) {
            Some(Reply::Coded(code, flags)) => {
                if let Some(opaque) = request.flags.argument(b'O') {
                    assert_eq!(flags.argument(b'O'), Some(opaque), "{}", line.escape_ascii());
                }
                let len = if let Code::Value(len) = code { len + 2 } else { 0 };
                assert_eq!(reply.len(), first.len() + 2 + len, "{}", line.escape_ascii());
            }
            Some(_) => assert_eq!(request.verb, Verb::Debug),
            None => assert!(first.starts_with(b"CLIENT_ERROR cannot increment"), "{}", first.escape_ascii()),
        }
    }
}

fn check_keys(line: &[u8], keys: Keys<'_>) {
    let mut count = 0;
    for key in keys {
        check_key(line, key.as_bytes());
        count += 1;
    }
    assert!(count > 0, "no keys in {}", line.escape_ascii());
}

fn check_key(line: &[u8], key: &[u8]) {
    let legal = (1..=250).contains(&key.len()) && !key.iter().any(|byte| b" \n".contains(byte));
    assert!(legal, "a key of {}", line.escape_ascii());
}

/// As [`text_stream`], of packets; and no packet makes the parsers panic, what they let pass is legal, and it is written
/// as it was read.
pub(crate) fn binary(data: &[u8]) {
    let mut rest = data.get(2..).unwrap_or_default();
    loop {
        // A client reads what a server sends, and that may be anything.
        if let response::Parsed::Response(response, len) = response::parse(rest) {
            let mut written = Vec::new();
            response::write(&mut written, &response);
            assert!(written.len() == len && written[HEADER_LEN..] == rest[HEADER_LEN..len]);
        }
        match parse_packet(rest) {
            ParsedPacket::Request(request) => {
                assert!(request.key.len() <= KEY_LEN_MAX);
                let len = request.head_len + request.value_len;
                let Some(packet) = rest.get(..len) else { break };
                let mut written = Vec::new();
                request.write(&packet[request.head_len..], &mut written);
                let mut expected = packet.to_vec();
                // Nobody looks at the type of the data and the virtual bucket.
                expected[5..8].fill(0);
                // Nor, where nothing is to be created, what it would be.
                if matches!(request.command, Command::Arithmetic { create: None, .. }) {
                    expected[HEADER_LEN + 8..HEADER_LEN + 16].fill(0);
                }
                assert!(written == expected, "{} read, {} written", packet.escape_ascii(), written.escape_ascii());
                rest = &rest[len..];
            }
            ParsedPacket::Refused { after: After::Skip(len), .. } => {
                assert!(len >= HEADER_LEN);
                rest = rest.get(len..).unwrap_or_default();
            }
            ParsedPacket::Incomplete(needed) => {
                assert!(needed > rest.len());
                break;
            }
            ParsedPacket::Refused { .. } | ParsedPacket::Foreign => break,
        }
    }
    text_stream(data);
}

/// Datagrams one after another, each behind two bytes with its length; the two bytes before them choose one core or
/// three and how much may be answered. Whatever comes: a datagram that is a request ends its conversation, all it is
/// answered is one message within the limit, and the same bytes by TCP would have been answered the same.
pub(crate) fn udp(data: &[u8]) {
    let [cores, limit, rest @ ..] = data else { return };
    let cores = if cores % 2 == 0 { 1 } else { 3 };
    let reply_max = UDP_REPLY_MAX_RANGE.start() + usize::from(*limit) * 64;
    let (mut by_udp, mut by_tcp) = (new_cluster(cores), new_cluster(cores));
    let mut rest = rest;
    while let Some((len, behind)) = rest.split_first_chunk() {
        let (datagram, behind) = behind.split_at(behind.len().min(usize::from(u16::from_le_bytes(*len))));
        rest = behind;
        let request = udp::parse_request(datagram);
        assert_eq!(request.is_some(), datagram.len() > udp::HEADER_LEN && datagram[4..6] == [0, 1]);
        let Some(Frame { request_id, payload, .. }) = request else { continue };
        let client = by_udp.connect_from(0, Address::Udp(([127, 0, 0, 1], 40_000).into()));
        let answered = converse(&mut by_udp, client, payload);
        let stranger = by_tcp.connect(0);
        // Statistics count connections, and do not count datagrams.
        if converse(&mut by_tcp, stranger, payload) != answered {
            let has_statistics =
                payload.windows(5).any(|word| word == b"stats") || payload.windows(2).any(|word| word == STAT_PACKET);
            assert!(has_statistics, "by TCP not {}", answered.escape_ascii());
        }
        let mut reply = udp::Reply::new(request_id, reply_max);
        let has_room = reply.add(&answered);
        assert_eq!(has_room, answered.len() <= reply_max);
        check_message(&reply, request_id, if has_room { Some(&answered) } else { None });
    }
    by_udp.engines.iter().for_each(|engine| engine.shard().verify());
}

/// Tells a server all that a client says; what it answers until the conversation is over, as it must be then.
fn converse(cluster: &mut Cluster, client: Client, payload: &[u8]) -> Vec<u8> {
    cluster.send(client, payload);
    cluster.finish(client);
    let answered = cluster.exchange(client, b"");
    assert!(cluster.is_closed(client), "a conversation does not end");
    answered
}

/// The datagrams of a reply are those of one message, as a client reads them; of an error it is one datagram.
fn check_message(reply: &udp::Reply, request_id: u16, expected: Option<&[u8]>) {
    let mut message = Vec::new();
    let mut count = 0;
    for frame in reply.datagrams() {
        let mut datagram = Vec::new();
        frame.write(&mut datagram);
        assert!(datagram.len() <= UDP_DATAGRAM_LEN_MAX);
        assert_eq!(Frame::parse(&datagram), Some(frame));
        assert_eq!((frame.request_id, frame.sequence), (request_id, count));
        assert_eq!(usize::from(frame.total), reply.datagrams().count());
        message.extend_from_slice(frame.payload);
        count += 1;
    }
    match expected {
        Some(expected) => assert!(message == expected),
        None => assert!(count == 1 && (message.ends_with(b"\r\n") || message.ends_with(b"Too large."))),
    }
}
