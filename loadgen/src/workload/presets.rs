//! Published workloads by name, each with where its figures come from.

use std::fmt::Write;

use crate::workload::plan::Preset;

const ATIKOGLU: &str = "Atikoglu et al., Workload Analysis of a Large-Scale Key-Value Store, SIGMETRICS 2012";
const YANG: &str = "Yang et al., A large scale analysis of hundreds of in-memory cache clusters at Twitter, OSDI 2020, \
                    with the table of its traces of March 2020";
const COOPER: &str = "Cooper et al., Benchmarking Cloud Serving Systems with YCSB, SoCC 2010";

/// All presets, in the order of the help page.
///
/// What a source does not state is chosen here and said so in `about`. Twitter's table gives one value size per cluster
/// (the mean) and rounded shares; a range of times to live stands for a row of neighbouring ones.
pub(crate) static PRESETS: [Preset; 13] = [
    Preset {
        name: "etc",
        about: "Meta's general pool: 30 gets per set, small and Pareto values, misses filled; \
                the skew (0.99) and one key size (the mean) are ours",
        source: ATIKOGLU,
        mix: "get:30,set:1",
        access: "zipf:0.99",
        key_size: 36,
        value_size: "0:0.536%,1:0.047%,2:17.82%,3:9.239%,4:0.018%,5:2.74%,6:0.065%,7:0.606%,8:0.023%,9:0.837%,\
                     10:0.837%,11:8.989%,12:0.092%,13:0.326%,14:1.98%,pareto/15/214.476/0.348238:55.845%",
        ttl: "0",
        fill_on_miss: true,
    },
    Preset {
        name: "usr",
        about: "Meta's user-account status: 99.8 % gets, 2-byte values; the skew (0.99) is ours",
        source: ATIKOGLU,
        mix: "get:99.8%,set:0.2%",
        access: "zipf:0.99",
        key_size: 21,
        value_size: "2",
        ttl: "0",
        fill_on_miss: true,
    },
    twitter("twitter-4", "2.4 KB values with short lives", "get:93%,set:7%", "zipf:1.1004", 67, "2439")
        .with_ttl("60s:39%,300s:24%,1h:13%,600s:12%,4h:9%,1d:3%"),
    twitter("twitter-12", "write-heavy, nearly every key once", "get:20%,set:80%", "zipf:0.3048", 44, "1030")
        .with_ttl("300s"),
    twitter("twitter-14", "many deletes, long keys", "get:65%,set:13%,delete:22%", "zipf:1.2959", 96, "414")
        .with_ttl("1d"),
    twitter(
        "twitter-18",
        "small values, very skewed, some cas",
        "get:96%,gets:1%,add:1%,cas:1%,set:1%",
        "zipf:2.0994",
        18,
        "37",
    )
    .with_ttl("12h"),
    twitter("twitter-19", "a quarter sets, little skew", "get:75%,set:25%", "zipf:0.735", 42, "101")
        .with_ttl("23400-27000"),
    twitter(
        "twitter-23",
        "counters beside items that live two minutes",
        "get:36%,set:31%,incr:30%,delete:2%",
        "zipf:0.274",
        35,
        "224",
    )
    .with_ttl("120s:93%,2700s:5%,5s:3%"),
    twitter("twitter-24", "read-mostly, long and short lives", "get:99%,set:1%", "zipf:1.3726", 32, "699")
        .with_ttl("14d:71%,60s:19%,30d:3%,1d:2%,1h:2%"),
    twitter("twitter-34", "a middling cluster", "get:94%,set:6%", "zipf:1.1401", 33, "322").with_ttl("34920-40320"),
    ycsb("ycsb-a", "half reads, half updates of 1 KB records", "get:50%,set:50%"),
    ycsb("ycsb-b", "95 % reads of 1 KB records", "get:95%,set:5%"),
    ycsb("ycsb-c", "reads of 1 KB records only", "get:100%"),
];

const fn twitter(
    name: &'static str,
    about: &'static str,
    mix: &'static str,
    access: &'static str,
    key_size: u16,
    value_size: &'static str,
) -> Preset {
    Preset { name, about, source: YANG, mix, access, key_size, value_size, ttl: "0", fill_on_miss: false }
}

const fn ycsb(name: &'static str, about: &'static str, mix: &'static str) -> Preset {
    // A record is ten fields of 100 bytes; a key is `user` and up to 19 digits.
    let (access, key_size, value_size) = ("zipf:0.99", 23, "1000");
    Preset { name, about, source: COOPER, mix, access, key_size, value_size, ttl: "0", fill_on_miss: false }
}

impl Preset {
    const fn with_ttl(self, ttl: &'static str) -> Preset {
        Preset { ttl, ..self }
    }

    /// The preset of this name; the error lists all names.
    pub(crate) fn named(name: &str) -> Result<&'static Preset, String> {
        PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
            let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
            format!("none of {}", names.join(" "))
        })
    }
}

/// The presets for the help page, by source.
pub(crate) fn help() -> String {
    let mut text = String::from("Presets:\n");
    let mut source = "";
    for preset in &PRESETS {
        if preset.source != source {
            source = preset.source;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  from {source}:");
        }
        let _ = writeln!(text, "    {:<12}{}", preset.name, preset.about);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::workload::Operation;
    use crate::workload::distribution::{Sizes, Ttls};
    use crate::workload::random::{Draw, Random};

    #[test]
    fn presets_are_written_in_the_syntax_of_the_options() {
        for preset in &PRESETS {
            preset.value_size.parse::<Sizes>().unwrap();
            preset.ttl.parse::<Ttls>().unwrap();
            let mut mix = BTreeMap::new();
            for part in preset.mix.split(',') {
                let (name, share) = part.split_once(':').unwrap();
                assert!(mix.insert(Operation::named(name).unwrap(), share).is_none(), "{}", preset.name);
                share.trim_end_matches('%').parse::<f64>().unwrap();
            }
            let skew = preset.access.strip_prefix("zipf:").unwrap().parse::<f64>().unwrap();
            assert!((0.0..=10.0).contains(&skew) && (1..=250).contains(&preset.key_size));
            assert!(std::ptr::eq(Preset::named(preset.name).unwrap(), preset));
        }
        assert!(Preset::named("etcetera").unwrap_err().contains("twitter-12"));
    }

    #[test]
    fn etc_has_the_value_sizes_of_the_paper() {
        let sizes: Sizes = Preset::named("etc").unwrap().value_size.parse().unwrap();
        let mut random = Random::new(8);
        let drawn: Vec<u64> = (0..100_000).map(|_| sizes.draw(&mut random)).collect();
        // The paper's model: 44.2 % below 15 bytes, 17.8 % of 2 bytes.
        let below = drawn.iter().filter(|size| **size < 15).count();
        let two = drawn.iter().filter(|size| **size == 2).count();
        assert!(below.abs_diff(44_155) < 650 && two.abs_diff(17_820) < 500, "{below} {two}");
    }

    #[test]
    fn the_help_page_names_every_preset_and_source() {
        let help = help();
        assert!(PRESETS.iter().all(|preset| help.contains(preset.name) && help.contains(preset.source)), "{help}");
        assert!(["2012", "2020", "2010"].iter().all(|year| help.contains(year)));
    }
}
