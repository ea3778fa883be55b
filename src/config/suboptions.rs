//! `-o`: the suboptions of memcached, each with what it takes and what becomes of it here.

use std::time::Duration;

use super::network::udp_reply_max;
use super::tls::{KEY_FORMATS, MIN_VERSIONS, TlsSuboptions};
use super::value::{ConfigError, number};

/// What `-o` decided.
#[derive(Default, Debug)]
pub(super) struct Extended {
    pub(super) idle_timeout: Option<Duration>,
    pub(super) strict_order: bool,
    pub(super) udp_reply_max: Option<usize>,
    pub(super) tls: TlsSuboptions,
    pub(super) track_sizes: bool,
}

struct Suboption {
    name: &'static str,
    takes: Takes,
    fate: Fate,
}

/// What stands after the `=`.
enum Takes {
    Nothing,
    Number(u32, u32),
    /// A number that may be left out.
    Optional(u32, u32),
    /// A decimal fraction of at least this.
    Fraction(f64),
    OneOf(&'static [&'static str]),
    /// Any text but none.
    Text,
    /// Never looked at, since the suboption is refused.
    Anything,
}

enum Fate {
    /// It does what it says.
    Acts,
    /// Accepted, so that old command lines start; the reason why it changes nothing is a notice.
    Accepted(&'static str),
    /// Refused: what it would be for.
    NotBuilt(&'static str),
}

/// Reads the value of one `-o`: a list of suboptions.
pub(super) fn parse(list: &str, extended: &mut Extended, notices: &mut Vec<String>) -> Result<(), ConfigError> {
    for text in list.split(',').filter(|text| !text.is_empty()) {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let Some(known) = TABLE.iter().find(|suboption| suboption.name == name) else {
            return Err(ConfigError::bad("-o", format_args!("unknown suboption {name:?}")));
        };
        match known.fate {
            Fate::NotBuilt(what) => return Err(ConfigError::not_built(format_args!("-o {name}"), what)),
            Fate::Acts | Fate::Accepted(_) => known.check(value)?,
        }
        match (&known.fate, name) {
            (Fate::Accepted(why), _) => notices.push(format!("-o {name}: accepted without effect: {why}")),
            (_, "idle_timeout") => {
                let seconds = value.and_then(|text| text.parse().ok()).unwrap_or(0);
                extended.idle_timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            (_, "track_sizes") => extended.track_sizes = true,
            (_, "pipeline_order") => extended.strict_order = value == Some("strict"),
            (_, "udp_reply_max") => extended.udp_reply_max = value.map(udp_reply_max).transpose()?,
            (_, ssl) if ssl.starts_with("ssl_") => extended.tls.set(known.name, value, notices),
            _ => {}
        }
    }
    Ok(())
}

impl Suboption {
    fn check(&self, value: Option<&str>) -> Result<(), ConfigError> {
        let option = format!("-o {}", self.name);
        match (&self.takes, value) {
            (Takes::Anything, _) | (Takes::Nothing | Takes::Optional(..), None) => Ok(()),
            (Takes::Nothing, Some(value)) => {
                Err(ConfigError::bad(option, format_args!("takes no value, not {value:?}")))
            }
            (Takes::Text, Some(text)) if !text.is_empty() => Ok(()),
            (Takes::Text, _) | (_, None) => Err(ConfigError::bad(option, "needs a value")),
            (Takes::Number(low, high) | Takes::Optional(low, high), Some(value)) => {
                number(option, value, *low..=*high).map(drop)
            }
            (Takes::Fraction(low), Some(value)) => match value.parse::<f64>() {
                Ok(fraction) if fraction >= *low && fraction.is_finite() => Ok(()),
                _ => Err(ConfigError::bad(option, format_args!("must be a number of at least {low}, not {value:?}"))),
            },
            (Takes::OneOf(names), Some(value)) if names.contains(&value) => Ok(()),
            (Takes::OneOf(names), Some(value)) => {
                Err(ConfigError::bad(option, format_args!("must be {}, not {value:?}", names.join(" or "))))
            }
        }
    }
}

const fn acts(name: &'static str, takes: Takes) -> Suboption {
    Suboption { name, takes, fate: Fate::Acts }
}

const fn accepted(name: &'static str, takes: Takes, why: &'static str) -> Suboption {
    Suboption { name, takes, fate: Fate::Accepted(why) }
}

const fn not_built(name: &'static str, what: &'static str) -> Suboption {
    Suboption { name, takes: Takes::Anything, fate: Fate::NotBuilt(what) }
}

const ANY: Takes = Takes::Number(0, u32::MAX);
const PERCENT: Takes = Takes::Number(1, 79);

const SLABS: &str = "there are no slabs";
const LRU: &str = "eviction needs no such division of memory";
const INDEX: &str = "the index sizes itself";
const CRAWLER: &str = "expired items are swept all the time, a few at each turn";
const WATCH: &str = "the lines that wait for a watcher have a fixed limit";
const BUFFERS: &str = "every connection's buffers have a fixed limit";
const NOTHING: &str = "it names no single thing";
const EXTSTORE: &str = "items on disk";

/// In the order of memcached's own help.
const TABLE: &[Suboption] = &[
    acts("idle_timeout", ANY),
    acts("maxconns_fast", Takes::Nothing),
    acts("udp_reply_max", Takes::Text),
    acts("ssl_chain_cert", Takes::Text),
    acts("ssl_key", Takes::Text),
    acts("ssl_verify_mode", Takes::Number(0, 3)),
    acts("ssl_keyformat", Takes::OneOf(KEY_FORMATS)),
    acts("ssl_ciphers", Takes::Text),
    acts("ssl_ca_cert", Takes::Text),
    acts("ssl_session_cache", Takes::Nothing),
    acts("ssl_min_version", Takes::OneOf(MIN_VERSIONS)),
    accepted("ssl_wbuf_size", ANY, "replies are encrypted from where they stand"),
    accepted("ssl_kernel_tls", Takes::Nothing, "TLS is spoken by this process, on the core that has the connection"),
    acts("pipeline_order", Takes::OneOf(&["owner", "strict"])),
    not_built("no_maxconns_fast", "letting connections above -c wait"),
    accepted("modern", Takes::Nothing, NOTHING),
    accepted("no_modern", Takes::Nothing, NOTHING),
    accepted("hashpower", Takes::Number(12, 32), INDEX),
    accepted("no_hashexpand", Takes::Nothing, INDEX),
    accepted("hash_algorithm", Takes::OneOf(&["jenkins", "murmur3", "xxh3"]), "the index always uses a keyed hash"),
    accepted("tail_repair_time", Takes::Number(10, u32::MAX), "there is no LRU tail to repair"),
    accepted("lru_crawler", Takes::Nothing, CRAWLER),
    accepted("no_lru_crawler", Takes::Nothing, CRAWLER),
    accepted("lru_crawler_sleep", Takes::Number(0, 1_000_000), CRAWLER),
    accepted("lru_crawler_tocrawl", ANY, CRAWLER),
    accepted("lru_maintainer", Takes::Nothing, LRU),
    accepted("no_lru_maintainer", Takes::Nothing, LRU),
    accepted("hot_lru_pct", PERCENT, LRU),
    accepted("warm_lru_pct", PERCENT, LRU),
    accepted("hot_max_factor", Takes::Fraction(0.01), LRU),
    accepted("warm_max_factor", Takes::Fraction(0.01), LRU),
    accepted("temporary_ttl", ANY, LRU),
    accepted("watcher_logbuf_size", ANY, WATCH),
    accepted("worker_logbuf_size", ANY, WATCH),
    acts("track_sizes", Takes::Nothing),
    accepted("slab_reassign", Takes::Nothing, SLABS),
    accepted("no_slab_reassign", Takes::Nothing, SLABS),
    accepted("slab_automove", Takes::Optional(0, 2), SLABS),
    accepted("no_slab_automove", Takes::Nothing, SLABS),
    accepted("slab_automove_ratio", Takes::Fraction(0.01), SLABS),
    accepted("slab_automove_window", Takes::Number(3, u32::MAX), SLABS),
    accepted("slab_automove_freeratio", Takes::Fraction(0.0), SLABS),
    accepted("slab_chunk_max", ANY, SLABS),
    accepted("read_buf_mem_limit", ANY, BUFFERS),
    accepted("resp_obj_mem_limit", ANY, BUFFERS),
    accepted("inline_ascii_resp", Takes::Nothing, "replies are always built from the item"),
    accepted("no_inline_ascii_resp", Takes::Nothing, "replies are always built from the item"),
    accepted("drop_privileges", Takes::Nothing, "no system call filter is installed; let the service manager do it"),
    accepted("no_drop_privileges", Takes::Nothing, "no system call filter is installed"),
    not_built("sock_cookie_id", "marking sockets"),
    not_built("ext_path", EXTSTORE),
    not_built("ext_page_size", EXTSTORE),
    not_built("ext_wbuf_size", EXTSTORE),
    not_built("ext_threads", EXTSTORE),
    not_built("ext_io_depth", EXTSTORE),
    not_built("ext_item_size", EXTSTORE),
    not_built("ext_item_age", EXTSTORE),
    not_built("ext_low_ttl", EXTSTORE),
    not_built("ext_recache_rate", EXTSTORE),
    not_built("ext_compact_under", EXTSTORE),
    not_built("ext_drop_under", EXTSTORE),
    not_built("ext_drop_unread", EXTSTORE),
    not_built("ext_max_frag", EXTSTORE),
    not_built("ext_max_sleep", EXTSTORE),
    not_built("proxy_config", "the proxy"),
    not_built("proxy_uring", "the proxy"),
    not_built("proxy_arg", "the proxy"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Result<(Extended, Vec<String>), String> {
        let (mut extended, mut notices) = Default::default();
        parse(list, &mut extended, &mut notices).map_err(|error| error.to_string())?;
        Ok((extended, notices))
    }

    #[test]
    fn what_acts_acts_and_leaves_no_notice() {
        let (extended, notices) = read("idle_timeout=5,pipeline_order=strict,maxconns_fast,").expect("legal");
        assert_eq!((extended.idle_timeout, extended.strict_order), (Some(Duration::from_secs(5)), true));
        assert!(notices.is_empty());
        let (extended, _) = read("idle_timeout=0,pipeline_order=owner").expect("legal");
        assert_eq!((extended.idle_timeout, extended.strict_order), (None, false));
    }

    #[test]
    fn what_is_accepted_leaves_a_notice_each() {
        let (_, notices) = read("slab_automove=1,slab_automove,hashpower=20,hot_max_factor=0.2").expect("legal");
        assert_eq!(notices.len(), 4);
        assert_eq!(notices[2], "-o hashpower: accepted without effect: the index sizes itself");
    }

    #[test]
    fn every_other_one_is_refused() {
        for (list, line) in [
            ("bogus", "ringcached: -o: unknown suboption \"bogus\""),
            ("=1", "ringcached: -o: unknown suboption \"\""),
            ("idle_timeout", "ringcached: -o idle_timeout: needs a value"),
            ("modern=1", "ringcached: -o modern: takes no value, not \"1\""),
            ("pipeline_order=any", "ringcached: -o pipeline_order: must be owner or strict, not \"any\""),
            ("hot_max_factor=nan", "ringcached: -o hot_max_factor: must be a number of at least 0.01, not \"nan\""),
            ("modern,ext_path=/x:1G", "ringcached: not supported yet: -o ext_path (items on disk)"),
        ] {
            assert_eq!(read(list).err().as_deref(), Some(line), "{list}");
        }
    }

    #[test]
    fn no_name_stands_twice() {
        for (at, suboption) in TABLE.iter().enumerate() {
            assert!(!TABLE[..at].iter().any(|other| other.name == suboption.name), "{}", suboption.name);
        }
    }
}
