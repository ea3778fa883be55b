//! Floor 2: what it costs that another core owns the key, without the rings between cores: two engines on one thread
//! exchange letters. The throughput column counts requests. `cargo bench --bench mesh`

#[path = "../tests/common/cluster.rs"]
mod cluster;

use cluster::{Client, Cluster, config};
use divan::Bencher;
use divan::counter::ItemsCount;
use ringcached::engine::Outgoing;
use ringcached::routing::Routing;
use ringcached::terms::{Key, ShardId};

fn main() {
    // So many that caches and branch predictors are warm and the timer does not count.
    divan::Divan::default().sample_size(1000).config_with_args().main();
}

const KEYS: usize = 1000;
const PIPELINES: [usize; 2] = [1, 16];

/// Gets of keys that core `owner` has, asked of core 0.
fn bench(bencher: Bencher<'_, '_>, owner: u16, pipeline: usize) {
    let mut cluster = Cluster::new(2, &config());
    let client = cluster.connect(0);
    let routing = Routing::new(2);
    let owned = |key: &String| Key::new(key.as_bytes()).is_some_and(|key| routing.owner(key) == ShardId(owner));
    let keys: Vec<String> = (0..).map(|number| format!("user:{number:010}")).filter(owned).take(KEYS).collect();
    for key in &keys {
        cluster.exchange(client, format!("set {key} 0 0 100\r\n{}\r\n", "v".repeat(100)).as_bytes());
    }
    let lines: Vec<String> = keys.iter().map(|key| format!("get {key}\r\n")).collect();
    let inputs: Vec<String> = lines.chunks_exact(pipeline).map(<[String]>::concat).collect();
    let mut turn = 0;
    bencher.counter(ItemsCount::new(pipeline)).bench_local(|| {
        turn = (turn + 1) % inputs.len();
        ask(&mut cluster, client, inputs[turn].as_bytes())
    });
}

/// One read, letters there and home, and one write.
fn ask(cluster: &mut Cluster, client: Client, bytes: &[u8]) -> usize {
    let now = cluster.now;
    cluster.engines[0].receive(client.id, bytes, now);
    for (from, to) in [(0, 1), (1, 0)] {
        let mut letters = std::mem::take(cluster.engines[from].outbox(shard(to)));
        cluster.engines[to].deliver_all(&mut letters, now);
        *cluster.engines[from].outbox(shard(to)) = letters;
    }
    let engine = &mut cluster.engines[0];
    while engine.next_changed().is_some() {}
    let Some(Outgoing::Single(buffer)) = engine.take_output(client.id) else { return 0 };
    let len = buffer.len();
    engine.sent(client.id, Some(buffer), now);
    len
}

const fn shard(core: usize) -> ShardId {
    ShardId(if core == 0 { 0 } else { 1 })
}

#[divan::bench(args = PIPELINES)]
fn local_get(bencher: Bencher<'_, '_>, pipeline: usize) {
    bench(bencher, 0, pipeline);
}

#[divan::bench(args = PIPELINES)]
fn remote_get(bencher: Bencher<'_, '_>, pipeline: usize) {
    bench(bencher, 1, pipeline);
}
