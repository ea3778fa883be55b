//! Floor 2: bytes in, bytes out, on one core without a socket. The throughput column counts requests.
//! `cargo bench --bench session`

#[path = "../tests/common/cluster.rs"]
mod cluster;

use cluster::{Client, Cluster, config};
use divan::Bencher;
use divan::counter::ItemsCount;
use ringcached::engine::Outgoing;

fn main() {
    // So many that caches and branch predictors are warm and the timer does not count.
    divan::Divan::default().sample_size(1000).config_with_args().main();
}

/// Enough that items come from memory rather than from the nearest cache.
const ITEMS: usize = 100_000;

fn key(number: usize) -> String {
    format!("user:{:010}", number % ITEMS)
}

fn set(number: usize) -> String {
    format!("set {} 0 0 100\r\n{}\r\n", key(number), "v".repeat(100))
}

/// One core with all items, and a client.
fn full() -> (Cluster, Client) {
    let mut cluster = Cluster::new(1, &config());
    let client = cluster.connect(0);
    for number in 0..ITEMS {
        ask(&mut cluster, client, set(number).as_bytes());
    }
    (cluster, client)
}

/// One read, and one write with its buffer given back, as the driver does it.
fn ask(cluster: &mut Cluster, client: Client, bytes: &[u8]) -> usize {
    let now = cluster.now;
    let engine = &mut cluster.engines[client.core];
    engine.receive(client.id, bytes, now);
    while engine.next_changed().is_some() {}
    match engine.take_output(client.id) {
        Some(Outgoing::Single(buffer)) => {
            let len = buffer.len();
            engine.sent(client.id, Some(buffer), now);
            len
        }
        Some(Outgoing::Chunks(chunks)) => {
            engine.sent(client.id, None, now);
            chunks.len()
        }
        None => 0,
    }
}

/// Runs one of many prepared inputs of `requests` requests each, far apart in the keys they name.
fn bench(bencher: Bencher<'_, '_>, requests: usize, input: impl Fn(usize) -> String) {
    let (mut cluster, client) = full();
    let inputs: Vec<String> = (0..4096).map(|number| input(number * 61_803)).collect();
    let mut turn = 0;
    bencher.counter(ItemsCount::new(requests)).bench_local(|| {
        turn = (turn + 1) % inputs.len();
        ask(&mut cluster, client, inputs[turn].as_bytes())
    });
}

/// A line of `count` keys.
fn multiget(number: usize, count: usize) -> String {
    let keys: Vec<String> = (0..count).map(|at| key(number + at * 6_180)).collect();
    format!("get {}\r\n", keys.join(" "))
}

#[divan::bench]
fn get(bencher: Bencher<'_, '_>) {
    bench(bencher, 1, |number| multiget(number, 1));
}

#[divan::bench]
fn get_pipelined_16(bencher: Bencher<'_, '_>) {
    bench(bencher, 16, |number| (0..16).map(|at| multiget(number + at * 6_180, 1)).collect());
}

/// The meta form of a look-up.
fn meta_line(number: usize) -> String {
    format!("mg {} v\r\n", key(number))
}

#[divan::bench]
fn meta_get(bencher: Bencher<'_, '_>) {
    bench(bencher, 1, meta_line);
}

#[divan::bench]
fn meta_get_pipelined_16(bencher: Bencher<'_, '_>) {
    bench(bencher, 16, |number| (0..16).map(|at| meta_line(number + at * 6_180)).collect());
}

#[divan::bench]
fn set_100_bytes(bencher: Bencher<'_, '_>) {
    bench(bencher, 1, set);
}

#[divan::bench]
fn set_pipelined_16(bencher: Bencher<'_, '_>) {
    bench(bencher, 16, |number| (0..16).map(|at| set(number + at * 6_180)).collect());
}

/// The throughput column counts keys.
#[divan::bench]
fn multiget_50(bencher: Bencher<'_, '_>) {
    bench(bencher, 50, |number| multiget(number, 50));
}
