//! The workloads: which keys are asked for in which order. A request is "get, and on a miss set".

use crate::random::{Random, Zipf};
use crate::sizes::{KeyInfo, Sizes};

/// A sequence of requests, the same for the same workload, memory and seed.
pub(crate) struct Trace {
    /// The key of each request, an index of `keys`.
    pub(crate) requests: Vec<u32>,
    pub(crate) keys: Vec<KeyInfo>,
    /// Requests at the start that fill the cache and are not counted.
    pub(crate) warm_up: usize,
    /// How fast the requests come; makes seconds of positions in the trace, for time to live.
    pub(crate) requests_per_s: u32,
    /// Some keys expire.
    pub(crate) has_ttl: bool,
}

impl Trace {
    /// The position at which what is stored at `position` has expired.
    pub(crate) fn expiry(&self, position: usize, key: u32) -> usize {
        match self.keys[key as usize].ttl_s {
            0 => usize::MAX,
            ttl_s => position + ttl_s as usize * self.requests_per_s as usize,
        }
    }
}

/// The pace of every trace.
const REQUESTS_PER_S: u32 = 150_000;

/// A workload's recipe. Lengths are for 64 MiB and grow with the memory.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    sizes: Sizes,
    /// Bytes of keys and values that are asked for again and again, in multiples of the memory.
    footprint: f64,
    requests: u32,
    pattern: Pattern,
}

#[derive(Clone, Copy)]
enum Pattern {
    Zipf(f64),
    /// Zipf, half of the keys with a time to live of 1 to 20 s.
    ZipfTtl(f64),
    /// Zipf for four fifths of the requests; a tenth ask for keys that never come again, a tenth belong to scans of keys
    /// in order.
    ZipfScans(f64),
    /// Zipf whose ranks pass from key to key: every 10 requests one of the first twentieth of
    /// the ranks goes to a random key, so that a popular key stays so for half a million requests on average.
    ZipfDrift(f64),
    /// Zipf whose ranks all go to other keys six times in the trace.
    ZipfShift(f64),
    /// All keys in turn, again and again.
    Loop,
    /// Half Zipf over half of the keys, half a loop over the others.
    ZipfLoop(f64),
}

/// All workloads, in the order of the report.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "twitter-0.6",
        about: "Zipf 0.6, Twitter's sizes",
        sizes: Sizes::Twitter,
        footprint: 3.0,
        requests: 4_000_000,
        pattern: Pattern::Zipf(0.6),
    },
    Workload {
        name: "twitter-0.8",
        about: "Zipf 0.8, Twitter's sizes",
        sizes: Sizes::Twitter,
        footprint: 6.0,
        requests: 4_000_000,
        pattern: Pattern::Zipf(0.8),
    },
    Workload {
        name: "etc-0.99",
        about: "Zipf 0.99, Meta ETC's sizes",
        sizes: Sizes::MetaEtc,
        footprint: 10.0,
        requests: 5_000_000,
        pattern: Pattern::Zipf(0.99),
    },
    Workload {
        name: "etc-1.2",
        about: "Zipf 1.2, Meta ETC's sizes",
        sizes: Sizes::MetaEtc,
        footprint: 20.0,
        requests: 10_000_000,
        pattern: Pattern::Zipf(1.2),
    },
    Workload {
        name: "usr-0.9",
        about: "Zipf 0.9, Meta USR's sizes",
        sizes: Sizes::MetaUsr,
        footprint: 0.9,
        requests: 12_000_000,
        pattern: Pattern::Zipf(0.9),
    },
    Workload {
        name: "small-0.9",
        about: "Zipf 0.9, Twitter's small objects",
        sizes: Sizes::TwitterSmall,
        footprint: 3.0,
        requests: 10_000_000,
        pattern: Pattern::Zipf(0.9),
    },
    Workload {
        name: "ttl-0.9",
        about: "Zipf 0.9, Twitter's sizes, half of the keys live 1 to 20 s",
        sizes: Sizes::Twitter,
        footprint: 6.0,
        requests: 4_000_000,
        pattern: Pattern::ZipfTtl(0.9),
    },
    Workload {
        name: "scan-0.9",
        about: "Zipf 0.9, Meta ETC's sizes, a fifth of the requests scans and keys asked for once",
        sizes: Sizes::MetaEtc,
        footprint: 4.0,
        requests: 5_000_000,
        pattern: Pattern::ZipfScans(0.9),
    },
    Workload {
        name: "drift-0.99",
        about: "Zipf 0.99, Twitter's sizes, popularity moves from key to key",
        sizes: Sizes::Twitter,
        footprint: 8.0,
        requests: 5_000_000,
        pattern: Pattern::ZipfDrift(0.99),
    },
    Workload {
        name: "shift-0.9",
        about: "Zipf 0.9, Meta ETC's sizes, other keys are popular from one moment to the next, 6 times",
        sizes: Sizes::MetaEtc,
        footprint: 4.0,
        requests: 6_000_000,
        pattern: Pattern::ZipfShift(0.9),
    },
    Workload {
        name: "fixed-0.8",
        about: "Zipf 0.8, all items alike, 100-byte values",
        sizes: Sizes::Fixed,
        footprint: 4.0,
        requests: 8_000_000,
        pattern: Pattern::Zipf(0.8),
    },
    Workload {
        name: "loop-fixed",
        about: "all keys in turn, all items alike, 1.2 times the memory",
        sizes: Sizes::Fixed,
        footprint: 1.2,
        requests: 5_000_000,
        pattern: Pattern::Loop,
    },
    Workload {
        name: "loop",
        about: "all keys in turn, Twitter's sizes, 1.4 times the memory",
        sizes: Sizes::Twitter,
        footprint: 1.4,
        requests: 3_000_000,
        pattern: Pattern::Loop,
    },
    Workload {
        name: "loop-zipf",
        about: "half Zipf 0.9, half a loop, Meta ETC's sizes",
        sizes: Sizes::MetaEtc,
        footprint: 2.5,
        requests: 4_000_000,
        pattern: Pattern::ZipfLoop(0.9),
    },
    Workload {
        name: "mixed-0.9",
        about: "Zipf 0.9, 8 bytes to 256 KiB, each octave as likely",
        sizes: Sizes::Mixed,
        footprint: 8.0,
        requests: 400_000,
        pattern: Pattern::Zipf(0.9),
    },
];

impl Workload {
    /// The requests for a cache of `memory` bytes.
    pub(crate) fn trace(&self, memory: usize, seed: u64) -> Trace {
        let requests = (f64::from(self.requests) * memory as f64 / f64::from(64 << 20)) as usize;
        let mut keys = self.keys((self.footprint * memory as f64) as usize, seed);
        let again = keys.len() as u32;
        let mut random = Random::new(seed, 1);
        let order = match self.pattern {
            Pattern::Zipf(skew) => zipf(again, skew, requests, &mut random),
            Pattern::ZipfTtl(skew) => {
                give_ttl(&mut keys, &mut random);
                zipf(again, skew, requests, &mut random)
            }
            Pattern::ZipfScans(skew) => {
                let order = with_scans(again, skew, requests, &mut random);
                let last = order.iter().max().map_or(0, |key| key + 1);
                let mut sizes = Random::new(seed, 2);
                keys.extend((again..last).map(|_| self.sizes.sample(&mut sizes)));
                order
            }
            Pattern::ZipfDrift(skew) => drift(again, skew, requests, &mut random),
            Pattern::ZipfShift(skew) => shift(again, skew, requests, &mut random),
            Pattern::Loop => (0..requests).map(|position| (position % keys.len()) as u32).collect(),
            Pattern::ZipfLoop(skew) => zipf_and_loop(again, skew, requests, &mut random),
        };
        let has_ttl = matches!(self.pattern, Pattern::ZipfTtl(_));
        Trace { requests: order, keys, warm_up: requests / 2, requests_per_s: REQUESTS_PER_S, has_ttl }
    }

    fn keys(&self, footprint: usize, seed: u64) -> Vec<KeyInfo> {
        let mut random = Random::new(seed, 0);
        let mut keys = Vec::new();
        let mut bytes = 0;
        while bytes < footprint {
            let key = self.sizes.sample(&mut random);
            bytes += key.payload();
            keys.push(key);
        }
        keys
    }
}

fn zipf(keys: u32, skew: f64, requests: usize, random: &mut Random) -> Vec<u32> {
    let zipf = Zipf::new(keys, skew);
    (0..requests).map(|_| zipf.sample(random)).collect()
}

fn give_ttl(keys: &mut [KeyInfo], random: &mut Random) {
    for key in keys {
        key.ttl_s = if random.below(2) == 0 { 0 } else { 1 + random.below(20) };
    }
}

fn with_scans(keys: u32, skew: f64, requests: usize, random: &mut Random) -> Vec<u32> {
    /// Requests from the start of one scan to the next.
    const PERIOD: usize = 200_000;
    let zipf = Zipf::new(keys, skew);
    let scanned = keys;
    let scan_len = (PERIOD / 10) as u32;
    // Scans go on where the last one ended, over as many keys as are asked for otherwise.
    let mut scan_at = 0;
    let mut once = keys + scanned;
    let mut order = Vec::with_capacity(requests);
    while order.len() < requests {
        for _ in 0..scan_len.min((requests - order.len()) as u32) {
            order.push(keys + scan_at);
            scan_at = (scan_at + 1) % scanned;
        }
        for _ in 0..(PERIOD - scan_len as usize).min(requests - order.len()) {
            if random.below(9) == 0 {
                order.push(once);
                once += 1;
            } else {
                order.push(zipf.sample(random));
            }
        }
    }
    order
}

fn drift(keys: u32, skew: f64, requests: usize, random: &mut Random) -> Vec<u32> {
    let zipf = Zipf::new(keys, skew);
    let mut key_of_rank: Vec<u32> = (0..keys).collect();
    (0..requests)
        .map(|position| {
            if position % 10 == 0 {
                let popular = random.below(keys / 20);
                key_of_rank.swap(popular as usize, random.below(keys) as usize);
            }
            key_of_rank[zipf.sample(random) as usize]
        })
        .collect()
}

fn shift(keys: u32, skew: f64, requests: usize, random: &mut Random) -> Vec<u32> {
    let zipf = Zipf::new(keys, skew);
    let period = requests / 6;
    let mut first = 0;
    (0..requests)
        .map(|position| {
            if position % period == 0 {
                first = random.below(keys);
            }
            (zipf.sample(random) + first) % keys
        })
        .collect()
}

fn zipf_and_loop(keys: u32, skew: f64, requests: usize, random: &mut Random) -> Vec<u32> {
    let half = keys / 2;
    let zipf = Zipf::new(half, skew);
    let mut at = 0;
    (0..requests)
        .map(|_| {
            if random.below(2) == 0 {
                return zipf.sample(random);
            }
            at = (at + 1) % (keys - half);
            half + at
        })
        .collect()
}
