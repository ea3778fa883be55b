//! Floor 1: bytes of a line to a request. `cargo bench --bench parse`

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use ringcached::protocol::{Parsed, Request, text};

fn main() {
    // So many that caches and branch predictors are warm and the timer does not count.
    divan::Divan::default().sample_size(1000).config_with_args().main();
}

const LINES: [&str; 6] = [
    "get user:1234567890",
    "gets user:1234567890",
    "set user:1234567890 0 3600 100",
    "cas user:1234567890 0 3600 100 1234567 noreply",
    "incr user:1234567890 1",
    "nonsense",
];

/// One line to a request.
#[divan::bench(args = LINES)]
fn line(bencher: Bencher<'_, '_>, line: &str) {
    let line = format!("{line}\r\n");
    bencher.counter(BytesCount::of_str(&line)).bench_local(|| match text::request::parse(black_box(line.as_bytes())) {
        Parsed::Request(_) => 1,
        _ => 0,
    });
}

/// A `get` of many keys to its keys, each of which is looked at.
#[divan::bench(args = [2, 16, 100])]
fn multiget(bencher: Bencher<'_, '_>, keys: usize) {
    let names: Vec<String> = (0..keys).map(|number| format!("user:{number:010}")).collect();
    let line = format!("get {}\r\n", names.join(" "));
    bencher.counter(ItemsCount::new(keys)).bench_local(|| match text::request::parse(black_box(line.as_bytes())) {
        Parsed::Request(Request::Retrieve(_, keys)) => keys.map(|key| key.as_bytes().len()).sum::<usize>(),
        _ => 0,
    });
}
