//! `version`, `verbosity`, `stats`, `quit`, `shutdown`.

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("statistics count what one client does", &[], counters));
    cases.push(Case::code("statistics are exact within a pipeline", &[], counters_in_pipeline));
    cases.push(Case::code("stats reset", &[], reset));
    cases.push(Case::code("forbidden flushes are counted", &["-F"], forbidden_flush));
    cases.push(Case::code("items and bytes follow what is stored", &[], gauges));
    cases.push(Case::code_sockets("statistics have every name", &[], names));
    cases.push(Case::code_sockets("stats settings", &["-I", "2m", "-C"], settings));
    cases.push(Case::code_sockets("stats conns", &[], conns));
    cases.push(Case::code_sockets("connections and bytes are counted", &[], connections));
    cases
}

const TRANSCRIPT: &str = r"
# version
> version
< VERSION {*}
> version x
< VERSION {*}

# the version's number is one that clients know
> version
< VERSION 1.6.45-ringcached-{*}

# verbosity
> verbosity 1
< OK
> verbosity 0
< OK
> verbosity 100
< OK
> verbosity 0 noreply
> get a
< END

# verbosity without a number
> verbosity
< CLIENT_ERROR bad command line format

# verbosity with something else
> verbosity foo
< CLIENT_ERROR bad command line format

# quit
> quit
closed
2> quit foo
2 closed

# quit after other requests
> set a 0 0 1
> x
> get a
> quit
> get a
< STORED
< VALUE a 0 1
< x
< END
closed
2> get a
2< VALUE a 0 1
2< x
2< END

# shutdown is refused unless enabled
> shutdown
< SERVER_ERROR: shutdown not enabled
> get a
< END

# statistics of nothing
> stats foo
< ERROR
> stats reset
< RESET
";

/// Asserts that `requests` change the counters by exactly `changes`, and no other counter of commands.
fn assert_counts(talk: &mut Talk<'_>, requests: &str, replies: &str, changes: &[(&str, u64)]) -> Result<(), Failure> {
    let before = talk.statistics("")?;
    talk.ask(requests, replies)?;
    let after = talk.statistics("")?;
    for name in COUNTERS {
        let value =
            |map: &std::collections::BTreeMap<String, String>| map.get(*name).and_then(|text| text.parse().ok());
        let (Some(before), Some(after)): (Option<u64>, Option<u64>) = (value(&before), value(&after)) else {
            return Err(Failure::Wrong(format!("no number {name} in stats")));
        };
        let expected = changes.iter().find(|(changed, _)| changed == name).map_or(0, |(_, by)| *by);
        if after - before != expected {
            return Err(Failure::Wrong(format!(
                "{name} went from {before} to {after}, expected {expected} more, after {requests:?}"
            )));
        }
    }
    Ok(())
}

const COUNTERS: &[&str] = &[
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "get_hits",
    "get_misses",
    "get_expired",
    "get_flushed",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
];

/// Requests, their replies, and by how much which counters grow.
type Row = (&'static str, &'static str, &'static [(&'static str, u64)]);

#[rustfmt::skip]
fn counters(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let table: &[Row] = &[
        ("set a 0 0 1\r\n5\r\n", "STORED\r\n", &[("cmd_set", 1)]),
        ("get a\r\n", "VALUE a 0 1\r\n5\r\nEND\r\n", &[("cmd_get", 1), ("get_hits", 1)]),
        ("get b\r\n", "END\r\n", &[("cmd_get", 1), ("get_misses", 1)]),
        ("get b c a d\r\n", "VALUE a 0 1\r\n5\r\nEND\r\n", &[("cmd_get", 4), ("get_hits", 1), ("get_misses", 3)]),
        ("incr a 1\r\n", "6\r\n", &[("incr_hits", 1)]),
        ("decr a 1\r\n", "5\r\n", &[("decr_hits", 1)]),
        ("incr b 1\r\n", "NOT_FOUND\r\n", &[("incr_misses", 1)]),
        ("decr b 1\r\n", "NOT_FOUND\r\n", &[("decr_misses", 1)]),
        ("touch a 0\r\n", "TOUCHED\r\n", &[("cmd_touch", 1), ("touch_hits", 1)]),
        ("touch b 0\r\n", "NOT_FOUND\r\n", &[("cmd_touch", 1), ("touch_misses", 1)]),
        ("add a 0 0 1\r\n5\r\n", "NOT_STORED\r\n", &[("cmd_set", 1)]),
        ("cas a 0 0 1 0\r\n5\r\n", "EXISTS\r\n", &[("cmd_set", 1), ("cas_badval", 1)]),
        ("cas b 0 0 1 1\r\n5\r\n", "NOT_FOUND\r\n", &[("cmd_set", 1), ("cas_misses", 1)]),
        ("delete b\r\n", "NOT_FOUND\r\n", &[("delete_misses", 1)]),
        ("delete a noreply\r\nget a\r\n", "END\r\n", &[("delete_hits", 1), ("cmd_get", 1), ("get_misses", 1)]),
        ("flush_all\r\n", "OK\r\n", &[("cmd_flush", 1)]),
        ("foo\r\n", "ERROR\r\n", &[]),
    ];
    for (requests, replies, changes) in table {
        assert_counts(talk, requests, replies, changes)?;
    }
    talk.ask("set a 0 0 1\r\nx\r\ngets a\r\n", "STORED\r\nVALUE a 0 1 {a}\r\nx\r\nEND\r\n")?;
    assert_counts(talk, "cas a 0 0 1 {a}\r\ny\r\n", "STORED\r\n", &[("cmd_set", 1), ("cas_hits", 1)])
}

/// Statistics in the middle of one piece of input show what came before them, whichever cores own the keys.
fn counters_in_pipeline(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.ask("stats reset\r\n", "RESET\r\n")?;
    let gets: String = (0..100).map(|key| format!("get k{key}\r\n")).collect();
    talk.send_bytes(1, format!("{gets}stats\r\n{gets}stats\r\n").as_bytes());
    for expected in [100, 200] {
        talk.expect_bytes(1, "END\r\n".repeat(100).as_bytes())?;
        let statistics = talk.read_through(1, "END\r\n")?;
        if !statistics.contains(&format!("STAT get_misses {expected}\r\n")) {
            return Err(Failure::Wrong(format!("get_misses is not {expected} in {statistics:?}")));
        }
    }
    Ok(())
}

fn reset(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.ask("set a 0 0 1\r\nx\r\nget a b\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n")?;
    talk.ask("stats reset\r\n", "RESET\r\n")?;
    let statistics = talk.statistics("")?;
    for name in ["cmd_get", "cmd_set", "get_hits", "get_misses", "total_items"] {
        if statistics.get(name).is_none_or(|value| value != "0") {
            return Err(Failure::Wrong(format!("{name} after a reset: {:?}", statistics.get(name))));
        }
    }
    match statistics.get("curr_items").map(String::as_str) {
        Some("0") => Err(Failure::Wrong("a reset does not forget the items".into())),
        _ => talk.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n"),
    }
}

fn forbidden_flush(talk: &mut Talk<'_>) -> Result<(), Failure> {
    assert_counts(talk, "flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n", &[("cmd_flush", 1)])
}

fn gauges(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let gauge = |talk: &mut Talk<'_>, name: &str| -> Result<u64, Failure> {
        let statistics = talk.statistics("")?;
        statistics[name].parse().map_err(|_| Failure::Wrong(format!("{name} is no number")))
    };
    let before = gauge(talk, "curr_items")?;
    talk.ask("set gauge1 0 0 5\r\nhello\r\nset gauge2 0 0 5\r\nhello\r\n", "STORED\r\nSTORED\r\n")?;
    let stored = gauge(talk, "curr_items")?;
    if gauge(talk, "bytes")? == 0 {
        return Err(Failure::Wrong("bytes is 0 although there are items".into()));
    }
    talk.ask("delete gauge1\r\ndelete gauge2\r\n", "DELETED\r\nDELETED\r\n")?;
    let deleted = gauge(talk, "curr_items")?;
    // Flushed items count until their memory is taken back, which may happen at any time.
    if stored < deleted + 2 || stored > before + 2 {
        return Err(Failure::Wrong(format!(
            "curr_items: {before}, {stored} after two sets, {deleted} after two deletes"
        )));
    }
    Ok(())
}

const NAMES: &[&str] = &[
    "pid",
    "uptime",
    "time",
    "version",
    "libevent",
    "pointer_size",
    "rusage_user",
    "rusage_system",
    "max_connections",
    "curr_connections",
    "total_connections",
    "rejected_connections",
    "connection_structures",
    "response_obj_oom",
    "response_obj_count",
    "response_obj_bytes",
    "read_buf_count",
    "read_buf_bytes",
    "read_buf_bytes_free",
    "read_buf_oom",
    "reserved_fds",
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "cmd_meta",
    "get_hits",
    "get_misses",
    "get_expired",
    "get_flushed",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "auth_cmds",
    "auth_errors",
    "bytes_read",
    "bytes_written",
    "limit_maxbytes",
    "accepting_conns",
    "listen_disabled_num",
    "time_in_listen_disabled_us",
    "threads",
    "conn_yields",
    "hash_power_level",
    "hash_bytes",
    "hash_is_expanding",
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
    "log_watcher_skipped",
    "log_watcher_sent",
    "log_watchers",
    "unexpected_napi_ids",
    "round_robin_fallback",
    "bytes",
    "curr_items",
    "total_items",
    "slab_global_page_pool",
    "expired_unfetched",
    "evicted_unfetched",
    "evicted_active",
    "evictions",
    "reclaimed",
    "crawler_reclaimed",
    "crawler_items_checked",
    "lrutail_reflocked",
    "moves_to_cold",
    "moves_to_warm",
    "moves_within_lru",
    "direct_reclaims",
    "lru_bumps_dropped",
];

fn names(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let statistics = talk.statistics("")?;
    let absent = crate::differences::absent_statistics(talk.kind);
    let missing: Vec<_> = NAMES.iter().filter(|name| !statistics.contains_key(**name)).collect();
    if missing.iter().any(|name| !absent.contains(name)) || absent.len() != missing.len() {
        return Err(Failure::Wrong(format!("missing in stats: {missing:?}, known to be missing: {absent:?}")));
    }
    for name in ["rusage_user", "rusage_system"] {
        let well_formed = statistics[name].split_once('.').is_some_and(|(whole, millionths)| {
            whole.parse::<u64>().is_ok() && millionths.len() == 6 && millionths.parse::<u32>().is_ok()
        });
        if !well_formed {
            return Err(Failure::Wrong(format!("{name} is {:?}, not seconds with six decimals", statistics[name])));
        }
    }
    if statistics["limit_maxbytes"] != (64 << 20).to_string() {
        return Err(Failure::Wrong(format!("limit_maxbytes with -m 64 is {}", statistics["limit_maxbytes"])));
    }
    Ok(())
}

fn settings(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let settings = talk.statistics(" settings")?;
    let expected = [
        ("maxbytes", "67108864"),
        ("maxconns", "1024"),
        ("evictions", "on"),
        ("cas_enabled", "no"),
        ("udpport", "0"),
        ("item_size_max", "2097152"),
        ("flush_enabled", "yes"),
        ("inter", "127.0.0.1"),
        ("idle_timeout", "0"),
        ("maxconns_fast", "yes"),
        ("shutdown_command", "no"),
        ("auth_enabled_ascii", "no"),
    ];
    for (name, value) in expected {
        if settings.get(name).is_none_or(|found| found != value) {
            return Err(Failure::Wrong(format!(
                "stats settings: {name} is {:?}, expected {value}",
                settings.get(name)
            )));
        }
    }
    for name in [
        "tcpport",
        "verbosity",
        "oldest",
        "domain_socket",
        "umask",
        "growth_factor",
        "chunk_size",
        "num_threads",
        "detail_enabled",
        "reqs_per_event",
        "tcp_backlog",
        "binding_protocol",
        "slab_reassign",
        "lru_crawler",
        "hash_algorithm",
        "lru_maintainer_thread",
        "lru_segmented",
        "dump_enabled",
        "memory_file",
    ] {
        if !settings.contains_key(name) {
            return Err(Failure::Wrong(format!("stats settings: no {name}")));
        }
    }
    Ok(())
}

fn conns(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.send_bytes(2, b"get a\r\n");
    talk.expect_bytes(2, b"END\r\n")?;
    let conns = talk.statistics(" conns")?;
    let clients: Vec<_> =
        conns.iter().filter(|(name, value)| name.ends_with(":addr") && value.starts_with("tcp:127.0.0.1:")).collect();
    if clients.len() < 2 {
        return Err(Failure::Wrong(format!("two connections are open, stats conns shows {conns:?}")));
    }
    for ending in [":state", ":secs_since_last_cmd"] {
        let count = conns.keys().filter(|name| name.ends_with(ending)).count();
        if count < 2 {
            return Err(Failure::Wrong(format!("two connections are open, stats conns shows {count} times {ending}")));
        }
    }
    Ok(())
}

fn connections(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| Failure::Wrong(format!("{text} is no number")));
    let before = talk.statistics("")?;
    talk.send_bytes(2, b"get a\r\n");
    talk.expect_bytes(2, b"END\r\n")?;
    let after = talk.statistics("")?;
    // Not curr_connections: those of earlier cases may still be closing.
    let name = "total_connections";
    if number(&after[name])? != number(&before[name])? + 1 {
        return Err(Failure::Wrong(format!("{name} went from {} to {} by one more", before[name], after[name])));
    }
    let read = number(&after["bytes_read"])? - number(&before["bytes_read"])?;
    // The get and one stats line; a server may count a request after it has answered it.
    if !(7..=14).contains(&read) {
        return Err(Failure::Wrong(format!("bytes_read grew by {read} by 14 bytes")));
    }
    if number(&after["bytes_written"])? <= number(&before["bytes_written"])? {
        return Err(Failure::Wrong("bytes_written did not grow".into()));
    }
    Ok(())
}
