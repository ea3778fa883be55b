//! The list that `stats` without an argument shows.

use super::{Counters, ItemTotals};

/// What only the world knows about the process; filled in anew for each `stats`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ProcessFacts<'a> {
    /// Process id.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Seconds since the Unix epoch.
    pub unix_time_s: u64,
    /// The version as the `version` request shows it.
    pub version: &'a str,
    /// What waits for events, such as `io_uring`. Shown as `libevent`, the name that tools look for.
    pub event_engine: &'a str,
    /// Processor time in user mode, in microseconds.
    pub rusage_user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub rusage_system_us: u64,
    /// The limit of client connections (`-c`).
    pub max_connections: u64,
    /// Files that are not client connections.
    pub reserved_fds: u64,
    /// Executors.
    pub threads: u64,
    /// Whether connections are being accepted.
    pub accepting_conns: bool,
    /// How long accepting was stopped, in microseconds.
    pub time_in_listen_disabled_us: u64,
    /// Seconds since the files of TLS were last read; `None` without TLS.
    pub tls_refreshed_s: Option<u64>,
}

/// The names and values of `stats`: memcached's list in the order of 1.6.45 (PROTOCOL §6), then our own. What does not
/// exist here is 0: exporters look names up and must find them.
pub fn general(facts: &ProcessFacts<'_>, counters: &Counters, items: &ItemTotals) -> Vec<(&'static str, String)> {
    let mut list = List(Vec::with_capacity(128));
    list.process(facts);
    list.connections(facts, counters);
    list.requests(counters);
    list.limits_and_threads(facts, counters, items);
    list.zeros(&SLABS_CRAWLERS_AND_LOGS);
    list.watchers(counters);
    list.tls(facts, counters);
    list.zeros(&["unexpected_napi_ids", "round_robin_fallback"]);
    list.items(items);
    list.own(counters);
    list.0
}

/// memcached's slab mover, crawler, maintainer and log threads, which have no counterpart here.
const SLABS_CRAWLERS_AND_LOGS: [&str; 15] = [
    "slab_reassign_rescues",
    "slab_reassign_chunk_rescues",
    "slab_reassign_inline_reclaim",
    "slab_reassign_busy_items",
    "slab_reassign_busy_deletes",
    "slab_reassign_busy_nomem",
    "slab_reassign_last_busy_status",
    "slab_reassign_running",
    "slabs_moved",
    "lru_crawler_running",
    "lru_crawler_starts",
    "lru_maintainer_juggles",
    "malloc_fails",
    "log_worker_dropped",
    "log_worker_written",
];

/// Rows in the making.
struct List(Vec<(&'static str, String)>);

/// Rows named like the fields they show.
macro_rules! fields {
    ($list:ident, $of:ident: $($name:ident)+) => { $($list.row(stringify!($name), &$of.$name);)+ };
}

impl List {
    fn row(&mut self, name: &'static str, value: &dyn std::fmt::Display) {
        self.0.push((name, value.to_string()));
    }

    fn zeros(&mut self, names: &[&'static str]) {
        for name in names {
            self.row(name, &0);
        }
    }

    fn process(&mut self, facts: &ProcessFacts<'_>) {
        self.row("pid", &facts.pid);
        self.row("uptime", &facts.uptime_s);
        self.row("time", &facts.unix_time_s);
        self.row("version", &facts.version);
        self.row("libevent", &facts.event_engine);
        self.row("pointer_size", &usize::BITS);
        self.row("rusage_user", &seconds(facts.rusage_user_us));
        self.row("rusage_system", &seconds(facts.rusage_system_us));
    }

    fn connections(&mut self, facts: &ProcessFacts<'_>, counters: &Counters) {
        fields!(self, facts: max_connections);
        fields!(self, counters: curr_connections total_connections rejected_connections);
        self.row("connection_structures", &counters.curr_connections);
        self.zeros(&["response_obj_oom", "response_obj_count", "response_obj_bytes"]);
        self.zeros(&["read_buf_count", "read_buf_bytes", "read_buf_bytes_free", "read_buf_oom"]);
        fields!(self, facts: reserved_fds);
    }

    fn requests(&mut self, counters: &Counters) {
        fields!(self, counters: cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired
            get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits
            cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors idle_kicks
            bytes_read bytes_written);
    }

    fn limits_and_threads(&mut self, facts: &ProcessFacts<'_>, counters: &Counters, items: &ItemTotals) {
        fields!(self, items: limit_maxbytes);
        self.row("accepting_conns", &u8::from(facts.accepting_conns));
        fields!(self, counters: listen_disabled_num);
        fields!(self, facts: time_in_listen_disabled_us threads);
        fields!(self, counters: conn_yields);
        fields!(self, items: hash_power_level hash_bytes);
        self.zeros(&["hash_is_expanding"]);
    }

    fn watchers(&mut self, counters: &Counters) {
        fields!(self, counters: log_watcher_skipped log_watcher_sent log_watchers);
    }

    fn tls(&mut self, facts: &ProcessFacts<'_>, counters: &Counters) {
        let Some(refreshed_s) = facts.tls_refreshed_s else { return };
        fields!(self, counters: ssl_new_sessions ssl_handshake_errors ssl_proto_errors ssl_handshakes ssl_resumed);
        self.row("time_since_server_cert_refresh", &refreshed_s);
    }

    fn items(&mut self, items: &ItemTotals) {
        fields!(self, items: bytes curr_items total_items);
        self.zeros(&["slab_global_page_pool"]);
        fields!(self, items: expired_unfetched evicted_unfetched evicted_active evictions reclaimed crawler_reclaimed
            crawler_items_checked);
        self.zeros(&["lrutail_reflocked", "moves_to_cold", "moves_to_warm", "moves_within_lru", "direct_reclaims"]);
        self.zeros(&["lru_bumps_dropped"]);
    }

    fn own(&mut self, counters: &Counters) {
        fields!(self, counters: mesh_letters_sent mesh_letters_lent mesh_late_wakeups mesh_credit_stalls udp_requests
            udp_ignored udp_lost);
    }
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROTOCOL §6 without the groups in brackets (TLS is off), except `idle_kicks`; then our own.
    const NAMES: &str = "pid uptime time version libevent pointer_size rusage_user rusage_system max_connections \
        curr_connections total_connections rejected_connections connection_structures response_obj_oom \
        response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom \
        reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired get_flushed \
        delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval \
        touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors idle_kicks bytes_read \
        bytes_written limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads \
        conn_yields hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues \
        slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes slab_reassign_busy_nomem \
        slab_reassign_last_busy_status slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts \
        lru_maintainer_juggles malloc_fails log_worker_dropped log_worker_written log_watcher_skipped \
        log_watcher_sent log_watchers unexpected_napi_ids round_robin_fallback bytes curr_items total_items \
        slab_global_page_pool expired_unfetched evicted_unfetched evicted_active evictions reclaimed \
        crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru \
        direct_reclaims lru_bumps_dropped mesh_letters_sent mesh_letters_lent mesh_late_wakeups mesh_credit_stalls \
        udp_requests udp_ignored udp_lost";

    #[test]
    fn the_list_is_memcacheds_in_its_order() {
        let list = general(&ProcessFacts::default(), &Counters::default(), &ItemTotals::default());
        let names: Vec<_> = list.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, NAMES.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn every_counter_is_shown_under_its_name() {
        let facts = ProcessFacts { tls_refreshed_s: Some(0), ..ProcessFacts::default() };
        let list = general(&facts, &Counters::default(), &ItemTotals::default());
        for metric in Counters::METRICS.iter().chain(ItemTotals::METRICS) {
            assert!(list.iter().any(|(name, _)| *name == metric.name), "{}", metric.name);
        }
    }

    #[test]
    fn values_are_shown_as_memcached_writes_them() {
        let facts = ProcessFacts {
            version: "1.6.45-ringcached-0.1.0",
            event_engine: "io_uring",
            rusage_user_us: 12_000_345,
            accepting_conns: true,
            ..ProcessFacts::default()
        };
        let counters = Counters { cmd_get: 3, ..Counters::default() };
        let items = ItemTotals { limit_maxbytes: 67_108_864, ..ItemTotals::default() };
        let list = general(&facts, &counters, &items);
        let value = |wanted| list.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(value("rusage_user"), Some("12.000345"));
        assert_eq!(value("rusage_system"), Some("0.000000"));
        assert_eq!(value("libevent"), Some("io_uring"));
        assert_eq!((value("accepting_conns"), value("pointer_size")), (Some("1"), Some("64")));
        assert_eq!((value("cmd_get"), value("limit_maxbytes")), (Some("3"), Some("67108864")));
    }
}
