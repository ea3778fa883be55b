//! The configuration as `stats settings` shows it.

use super::{Config, KeyFormat};
use crate::protocol::Dialect;

impl Config {
    /// Names and values of `stats settings`, in the order of memcached 1.6.45. What belongs to slabs, the segmented LRU
    /// or its threads shows memcached's defaults, which monitoring expects to find; the rest is true.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.general();
        settings.extend(AS_MEMCACHED_BEFORE_FLUSH.iter().map(|&(name, value)| (name, value.to_owned())));
        settings.push(("flush_enabled", yes(self.flush_enabled)));
        settings.push(("dump_enabled", yes(self.dump_enabled)));
        settings.push(("hash_algorithm", "siphash13".to_owned()));
        settings.extend(AS_MEMCACHED_BEFORE_IDLE.iter().map(|&(name, value)| (name, value.to_owned())));
        settings.push(("idle_timeout", self.idle_timeout.map_or(0, |limit| limit.as_secs()).to_string()));
        settings.extend(AS_MEMCACHED_BEFORE_SIZES.iter().map(|&(name, value)| (name, value.to_owned())));
        settings.push(("track_sizes", yes(self.track_sizes)));
        settings.extend(AS_MEMCACHED_BEFORE_TLS.iter().map(|&(name, value)| (name, value.to_owned())));
        settings.extend(self.tls_settings());
        settings.extend(AS_MEMCACHED_AT_THE_END.iter().map(|&(name, value)| (name, value.to_owned())));
        settings
    }

    fn tls_settings(&self) -> Vec<(&'static str, String)> {
        let tls = self.tls.as_ref();
        let file = |path: Option<&std::path::PathBuf>, none: &str| {
            path.map_or_else(|| none.to_owned(), |path| path.display().to_string())
        };
        let der = tls.is_some_and(|tls| tls.key_format == KeyFormat::Der);
        let only_tls13 = tls.is_some_and(|tls| tls.only_tls13);
        vec![
            ("ssl_enabled", yes(tls.is_some())),
            ("ssl_chain_cert", file(tls.map(|tls| &tls.chain_cert), "(null)")),
            ("ssl_key", file(tls.map(|tls| &tls.key), "(null)")),
            ("ssl_verify_mode", tls.map_or(0, |tls| tls.verify_mode).to_string()),
            ("ssl_keyformat", if der { "2" } else { "1" }.to_owned()),
            ("ssl_ciphers", tls.and_then(|tls| tls.ciphers.clone()).unwrap_or_else(|| "NULL".to_owned())),
            ("ssl_ca_cert", file(tls.and_then(|tls| tls.ca_cert.as_ref()), "NULL")),
            ("ssl_wbuf_size", "16384".to_owned()),
            ("ssl_session_cache", yes(tls.is_some_and(|tls| tls.session_cache))),
            ("ssl_kernel_tls", "no".to_owned()),
            ("ssl_min_version", if only_tls13 { "tlsv1.3" } else { "tlsv1.2" }.to_owned()),
        ]
    }

    fn general(&self) -> Vec<(&'static str, String)> {
        let unix = self.network.unix.as_ref();
        let inter: Vec<&str> = self.network.listen.iter().map(|listen| listen.name.as_str()).collect();
        vec![
            ("maxbytes", self.memory_limit.to_string()),
            ("maxconns", self.conn_limit.to_string()),
            ("tcpport", self.network.tcp_port.to_string()),
            ("udpport", self.network.udp_port.to_string()),
            ("inter", inter.join(",")),
            ("verbosity", self.verbosity.to_string()),
            ("oldest", "0".to_owned()),
            ("evictions", if self.evict { "on" } else { "off" }.to_owned()),
            ("domain_socket", unix.map_or_else(|| "NULL".to_owned(), |unix| unix.path.display().to_string())),
            ("umask", format!("{:o}", unix.map_or(0o700, |unix| unix.mask))),
            ("shutdown_command", yes(self.shutdown_enabled)),
            ("growth_factor", "1.25".to_owned()),
            ("chunk_size", "48".to_owned()),
            ("num_threads", self.cores.len().to_string()),
            ("num_threads_per_udp", if self.network.udp.is_empty() { "0" } else { "1" }.to_owned()),
            ("stat_key_prefix", char::from(self.prefix_delimiter).to_string()),
            ("detail_enabled", yes(self.detail_enabled)),
            ("reqs_per_event", self.requests_per_turn.to_string()),
            ("cas_enabled", yes(self.cas)),
            ("tcp_backlog", self.backlog.to_string()),
            ("binding_protocol", binding_protocol(self.dialect).to_owned()),
            ("auth_enabled_sasl", yes(self.password_file.is_some() && self.dialect == Some(Dialect::Binary))),
            ("auth_enabled_ascii", yes(self.password_file.is_some() && self.dialect == Some(Dialect::Text))),
            ("item_size_max", self.item_size_max.to_string()),
            ("maxconns_fast", "yes".to_owned()),
        ]
    }
}

const fn binding_protocol(dialect: Option<Dialect>) -> &'static str {
    match dialect {
        None => "auto-negotiate",
        Some(Dialect::Text) => "ascii",
        Some(Dialect::Binary) => "binary",
    }
}

fn yes(is_on: bool) -> String {
    if is_on { "yes" } else { "no" }.to_owned()
}

const AS_MEMCACHED_BEFORE_FLUSH: &[(&str, &str)] = &[
    ("hashpower_init", "0"),
    ("slab_reassign", "yes"),
    ("slab_automove", "1"),
    ("slab_automove_ratio", "0.80"),
    ("slab_automove_window", "30"),
    ("slab_chunk_max", "524288"),
    ("lru_crawler", "yes"),
    ("lru_crawler_sleep", "100"),
    ("lru_crawler_tocrawl", "0"),
    ("tail_repair_time", "0"),
];

const AS_MEMCACHED_BEFORE_IDLE: &[(&str, &str)] = &[
    ("lru_maintainer_thread", "yes"),
    ("lru_segmented", "yes"),
    ("hot_lru_pct", "20"),
    ("warm_lru_pct", "40"),
    ("hot_max_factor", "0.20"),
    ("warm_max_factor", "2.00"),
    ("temp_lru", "no"),
    ("temporary_ttl", "61"),
];

const AS_MEMCACHED_BEFORE_SIZES: &[(&str, &str)] =
    &[("watcher_logbuf_size", "262144"), ("worker_logbuf_size", "65536"), ("read_buf_mem_limit", "0")];

const AS_MEMCACHED_BEFORE_TLS: &[(&str, &str)] = &[("inline_ascii_response", "no")];

const AS_MEMCACHED_AT_THE_END: &[(&str, &str)] =
    &[("num_napi_ids", "(null)"), ("memory_file", "(null)"), ("client_flags_size", "4")];
