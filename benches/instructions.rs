//! What each floor costs in instructions, counted by callgrind: unlike time they are the same on a busy machine.
//!
//! This program only runs a scenario: `instructions SCENARIO COUNT` asks for `COUNT` requests (of a retrieval of many
//! keys: for `COUNT` keys), `instructions` alone lists the scenarios. `scripts/instructions` runs each with two counts,
//! so that what it takes to set it up cancels out, and compares with `benches/instructions.toml`.

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "../tests/common/cluster.rs"]
mod cluster;

use std::hint::black_box;

use cluster::{Client, Cluster, config};
use ringcached::engine::Outgoing;
use ringcached::execute::Executor;
use ringcached::execute::meta::MetaCall;
use ringcached::metrics::Counters;
use ringcached::protocol::binary::{HEADER_LEN, Header, REQUEST_MAGIC, Tag};
use ringcached::protocol::meta::MetaRequest;
use ringcached::protocol::{Op, Output, Parsed, Request, text};
use ringcached::routing::Routing;
use ringcached::store::{Incoming, Shard};
use ringcached::terms::{Key, Now, ShardId};

/// Items of a shard.
const ITEMS: usize = 10_000;
/// Requests of one receive.
const PIPELINE: usize = 16;
/// Keys of a retrieval of many.
const KEYS: usize = 50;
/// Different inputs of a scenario. They go round.
const INPUTS: usize = 64;
/// Rounds over all inputs before anything is asked for: then buffers have their size, and items their count of uses.
const WARM_ROUNDS: usize = 4;
const NOW: Now = Now { monotonic_ms: 10_000, unix_ms: 1_800_000_000_000 };

/// A scenario: its name, the requests of one input, and how it is set up. That gives what runs the input of a number.
struct Scenario {
    name: &'static str,
    requests: usize,
    set_up: fn() -> Box<dyn FnMut(usize)>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "parse-get", requests: 1, set_up: || parse(get) },
    Scenario { name: "parse-set", requests: 1, set_up: || parse(set) },
    Scenario { name: "parse-mg", requests: 1, set_up: || parse(meta_get) },
    Scenario { name: "execute-get", requests: 1, set_up: || execute(get) },
    Scenario { name: "execute-set", requests: 1, set_up: || execute(set) },
    Scenario { name: "execute-mg", requests: 1, set_up: || execute(meta_get) },
    Scenario { name: "engine-get-16", requests: PIPELINE, set_up: || engine(pipeline(get)) },
    Scenario { name: "engine-get-1", requests: 1, set_up: || engine(|input| get(key_of(input, 0))) },
    Scenario { name: "engine-set-16", requests: PIPELINE, set_up: || engine(pipeline(set)) },
    Scenario { name: "engine-mg-16", requests: PIPELINE, set_up: || engine(pipeline(meta_get)) },
    Scenario { name: "engine-getk-16", requests: PIPELINE, set_up: || engine(pipeline(binary_get)) },
    Scenario { name: "engine-multiget-50", requests: KEYS, set_up: || engine(multiget) },
    Scenario { name: "mesh-get-16", requests: PIPELINE, set_up: mesh },
    Scenario { name: "mesh-multiget-50", requests: KEYS, set_up: mesh_multiget },
];

fn main() {
    // cargo puts `--bench` behind whatever it is given.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [name, count] = &arguments[..] else {
        for scenario in SCENARIOS {
            println!("{}", scenario.name);
        }
        return;
    };
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a scenario of that name");
    let count: usize = count.parse().expect("the count is a number");
    assert!(count.is_multiple_of(scenario.requests), "a multiple of {}", scenario.requests);
    let mut run = (scenario.set_up)();
    for round in 0..WARM_ROUNDS * INPUTS {
        run(round % INPUTS);
    }
    for round in 0..count / scenario.requests {
        run(round % INPUTS);
    }
}

fn key(number: usize) -> String {
    format!("user:{:010}", number % ITEMS)
}

/// The number of the key that stands at this place of an input: far from those beside it.
const fn key_of(input: usize, place: usize) -> usize {
    input * 61_803 + place * 6_180
}

fn get(number: usize) -> Vec<u8> {
    format!("get {}\r\n", key(number)).into()
}

fn set(number: usize) -> Vec<u8> {
    format!("set {} 0 0 100\r\n{}\r\n", key(number), "v".repeat(100)).into()
}

fn meta_get(number: usize) -> Vec<u8> {
    format!("mg {} v\r\n", key(number)).into()
}

fn binary_get(number: usize) -> Vec<u8> {
    let key = key(number);
    let tag = Tag { opcode: 0x0c, opaque: *b"abcd" };
    let (key_len, body_len) = (u16::try_from(key.len()).unwrap(), u32::try_from(key.len()).unwrap());
    let mut packet = Vec::with_capacity(HEADER_LEN + key.len());
    Header { magic: REQUEST_MAGIC, tag, key_len, body_len, ..Header::default() }.write(&mut packet);
    packet.extend_from_slice(key.as_bytes());
    packet
}

fn multiget(input: usize) -> Vec<u8> {
    let keys: Vec<String> = (0..KEYS).map(|place| key(key_of(input, place))).collect();
    format!("get {}\r\n", keys.join(" ")).into()
}

/// Requests of one kind, one behind the other.
fn pipeline(request: fn(usize) -> Vec<u8>) -> impl Fn(usize) -> Vec<u8> {
    move |input| (0..PIPELINE).flat_map(|place| request(key_of(input, place))).collect()
}

/// All inputs of a scenario.
fn inputs(input: impl Fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..INPUTS).map(input).collect()
}

/// Floor 1: a line to a request.
fn parse(request: fn(usize) -> Vec<u8>) -> Box<dyn FnMut(usize)> {
    let lines = inputs(|input| line_of(&request(key_of(input, 0))).to_vec());
    Box::new(move |round| {
        black_box(text::request::parse(black_box(&lines[round])));
    })
}

fn line_of(input: &[u8]) -> &[u8] {
    let end = input.iter().position(|&byte| byte == b'\n').map_or(input.len(), |end| end + 1);
    &input[..end]
}

/// Floor 2: a request on a shard, its key's hash included, its parsing not.
fn execute(request: fn(usize) -> Vec<u8>) -> Box<dyn FnMut(usize)> {
    let mut shard = Shard::new(config().shard).unwrap();
    let (mut counters, mut out) = (Counters::default(), Output::default());
    for number in 0..ITEMS {
        run(&mut shard, &mut counters, &mut out, &Prepared::new(&set(number)));
    }
    let inputs: &'static [Vec<u8>] = inputs(|input| request(key_of(input, 0))).leak();
    let prepared: Vec<_> = inputs.iter().map(|input| Prepared::new(input)).collect();
    Box::new(move |round| run(&mut shard, &mut counters, &mut out, black_box(&prepared[round])))
}

/// A request with all that an executor is told.
struct Prepared<'a> {
    request: Asked<'a>,
    key: Key<'a>,
    value: &'a [u8],
}

enum Asked<'a> {
    Classic(Op),
    Meta(MetaRequest<'a>),
}

impl<'a> Prepared<'a> {
    fn new(input: &'a [u8]) -> Self {
        let line = line_of(input);
        let value = input.get(line.len()..input.len() - 2).unwrap_or_default();
        let (request, key) = match text::request::parse(line) {
            Parsed::Request(Request::Retrieve(retrieval, mut keys)) => {
                (Asked::Classic(Op::Retrieve(retrieval)), keys.next().unwrap())
            }
            Parsed::Request(Request::Store(head)) => (Asked::Classic(head.op), head.key),
            Parsed::Request(Request::Meta(request)) => (Asked::Meta(request), Key::new(request.token).unwrap()),
            other => panic!("{other:?}"),
        };
        Self { request, key, value }
    }
}

/// Executes one request and forgets the reply.
fn run(shard: &mut Shard, counters: &mut Counters, out: &mut Output, prepared: &Prepared<'_>) {
    let Prepared { request, key, value } = prepared;
    let hash = shard.hash(*key);
    let mut executor = Executor { shard, counters, now: NOW, observer: None };
    match request {
        Asked::Classic(op) => executor.execute(*op, *key, hash, Incoming::Slice(value), out),
        Asked::Meta(request) => {
            let call = MetaCall { verb: request.verb, flags: request.flags, key: *key, hash };
            executor.meta(call, Incoming::Slice(value), out);
        }
    }
    black_box(out.len());
    out.clear();
}

/// Floor 2: bytes in, bytes out, on one core without a socket.
fn engine(input: impl Fn(usize) -> Vec<u8>) -> Box<dyn FnMut(usize)> {
    let mut cluster = Cluster::new(1, &config());
    let filler = cluster.connect(0);
    (0..ITEMS).for_each(|number| ask(&mut cluster, filler, &set(number)));
    let client = cluster.connect(0);
    let inputs = inputs(input);
    Box::new(move |round| ask(&mut cluster, client, &inputs[round]))
}

/// One read, and one write with its buffer given back, as the driver does it.
fn ask(cluster: &mut Cluster, client: Client, bytes: &[u8]) {
    let now = cluster.now;
    let engine = &mut cluster.engines[client.core];
    engine.receive(client.id, bytes, now);
    send(cluster, client);
}

fn send(cluster: &mut Cluster, client: Client) {
    let now = cluster.now;
    let engine = &mut cluster.engines[client.core];
    while let Some(id) = engine.next_changed() {
        black_box(engine.wants(id));
    }
    let Some(Outgoing::Single(buffer)) = engine.take_output(client.id) else { panic!("every input has a reply") };
    engine.sent(client.id, Some(black_box(buffer)), now);
}

/// Floor 2: gets of keys that another core owns, without the rings between cores: letters there and home.
fn mesh() -> Box<dyn FnMut(usize)> {
    let mut cluster = Cluster::new(2, &config());
    let client = cluster.connect(0);
    let routing = Routing::new(2);
    let is_remote =
        |number: &usize| Key::new(key(*number).as_bytes()).is_some_and(|key| routing.owner(key) == ShardId(1));
    let keys: Vec<usize> = (0..ITEMS).filter(is_remote).take(INPUTS * PIPELINE).collect();
    for &number in &keys {
        cluster.exchange(client, &set(number));
    }
    let inputs: Vec<Vec<u8>> =
        keys.chunks_exact(PIPELINE).map(|keys| keys.iter().flat_map(|&number| get(number)).collect()).collect();
    Box::new(move |round| ask_others(&mut cluster, client, &inputs[round]))
}

/// The same of a retrieval of many keys of four cores.
fn mesh_multiget() -> Box<dyn FnMut(usize)> {
    let mut cluster = Cluster::new(4, &config());
    let client = cluster.connect(0);
    for number in 0..ITEMS {
        cluster.exchange(client, &set(number));
    }
    let inputs = inputs(multiget);
    Box::new(move |round| ask_others(&mut cluster, client, &inputs[round]))
}

/// One read of core 0, letters to the others and home, and one write.
fn ask_others(cluster: &mut Cluster, client: Client, bytes: &[u8]) {
    let now = cluster.now;
    cluster.engines[0].receive(client.id, bytes, now);
    let others = 1..cluster.engines.len();
    for (from, to) in others.clone().map(|other| (0, other)).chain(others.map(|other| (other, 0))) {
        let shard = ShardId(u16::try_from(to).unwrap());
        let mut letters = std::mem::take(cluster.engines[from].outbox(shard));
        cluster.engines[to].deliver_all(&mut letters, now);
        *cluster.engines[from].outbox(shard) = letters;
    }
    send(cluster, client);
}
