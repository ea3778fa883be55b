//! How large keys and values are, after published analyses of production caches.

use crate::random::Random;

/// What a key costs before any overhead, and how long its value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyInfo {
    pub(crate) key_len: u8,
    pub(crate) value_len: u32,
    /// Seconds from storing to expiry; 0 is never.
    pub(crate) ttl_s: u32,
}

impl KeyInfo {
    /// Bytes of key and value.
    pub(crate) fn payload(self) -> usize {
        usize::from(self.key_len) + self.value_len as usize
    }
}

/// Where key and value lengths come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// Twitter's pools: Yang, Yue, Rashmi, "A large scale analysis of hundreds of in-memory cache clusters at Twitter",
    /// OSDI 2020. There the mean object of the median cluster has 230 bytes, that of a quarter of the clusters less than
    /// 100, keys are long (15 % of values are no longer than their key, half at most 5 times as long). Here: keys of 20
    /// to 60 bytes, values log-normal around 125 bytes, 1 byte to 64 KiB.
    Twitter,
    /// Twitter's pools of counters, ids and flags, the quarter of clusters below 100 bytes an object.
    TwitterSmall,
    /// Meta's ETC pool: Atikoglu et al., "Workload analysis of a large-scale key-value store", SIGMETRICS 2012, §5:
    /// key length generalized extreme value (30.7984, 8.20449, 0.078688), value length generalized Pareto
    /// (15, 214.476, 0.348238). Values end at 256 KiB.
    MetaEtc,
    /// Meta's USR pool, same source: keys of 16 or 21 bytes, values of 2.
    MetaUsr,
    /// 8 bytes to 256 KiB, each octave as likely as the next.
    Mixed,
    /// Keys of 24 bytes and values of 100, all alike.
    Fixed,
}

impl Sizes {
    pub(crate) fn sample(self, random: &mut Random) -> KeyInfo {
        let (key_len, value_len) = match self {
            Self::Twitter => (20 + random.below(41), log_normal(random, 125.0, 1.3, 1.0, 65_536.0)),
            Self::TwitterSmall => (14 + random.below(25), log_normal(random, 16.0, 0.9, 1.0, 512.0)),
            Self::MetaEtc => (extreme_key(random), pareto(random)),
            Self::MetaUsr => (if random.below(2) == 0 { 16 } else { 21 }, 2),
            Self::Mixed => (24, (8.0 * 32_768.0_f64.powf(random.unit())) as u32),
            Self::Fixed => (24, 100),
        };
        KeyInfo { key_len: key_len as u8, value_len, ttl_s: 0 }
    }
}

fn log_normal(random: &mut Random, median: f64, sigma: f64, least: f64, most: f64) -> u32 {
    (median * (sigma * random.normal()).exp()).clamp(least, most) as u32
}

fn extreme_key(random: &mut Random) -> u32 {
    let (location, scale, shape) = (30.7984, 8.20449, 0.078_688);
    let u = random.unit().max(1e-12);
    (location + scale * ((-u.ln()).powf(-shape) - 1.0) / shape).clamp(12.0, 250.0) as u32
}

fn pareto(random: &mut Random) -> u32 {
    let (location, scale, shape) = (15.0, 214.476, 0.348_238);
    (location + scale * ((1.0 - random.unit()).powf(-shape) - 1.0) / shape).clamp(1.0, 262_144.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(sizes: Sizes) -> Vec<usize> {
        let mut random = Random::new(3, 9);
        let mut payloads: Vec<usize> = (0..100_000).map(|_| sizes.sample(&mut random).payload()).collect();
        payloads.sort_unstable();
        payloads
    }

    #[test]
    fn sizes_are_those_published() {
        let mean = |payloads: &[usize]| payloads.iter().sum::<usize>() / payloads.len();
        let twitter = payloads(Sizes::Twitter);
        assert!((130..210).contains(&twitter[50_000]), "median {}", twitter[50_000]);
        assert!(mean(&payloads(Sizes::TwitterSmall)) < 100);
        let etc = mean(&payloads(Sizes::MetaEtc));
        // 36 bytes of key, 15 + 214.476 / (1 - 0.348238) of value.
        assert!((360..400).contains(&etc), "{etc}");
        assert!(payloads(Sizes::MetaUsr).iter().all(|payload| *payload == 18 || *payload == 23));
        let mixed = payloads(Sizes::Mixed);
        assert!(mixed[0] >= 32 && mixed[99_999] <= 24 + 262_144 && mixed[99_999] > 250_000);
    }
}
