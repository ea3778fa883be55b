//! What a core counts.

use super::table::metrics_table;

metrics_table! {
    /// What one core counts about its requests and connections. Plain numbers: a core has its own and shares none.
    pub struct Counters {
        cmd_get: Counter, "Keys asked for by get, gets, mg and their binary forms.";
        cmd_set: Counter, "Storage requests of all kinds.";
        cmd_flush: Counter, "`flush_all` requests, also forbidden ones.";
        cmd_touch: Counter, "Keys touched by touch, gat and gats.";
        cmd_meta: Counter, "Meta requests.";
        get_hits: Counter, "Keys asked for that were there.";
        get_misses: Counter, "Keys asked for that were not there.";
        get_expired: Counter, "Misses whose item had expired.";
        get_flushed: Counter, "Misses whose item a `flush_all` had killed.";
        delete_misses: Counter, "Deletes of keys that were not there.";
        delete_hits: Counter, "Items deleted by request.";
        incr_misses: Counter, "Increments of keys that were not there.";
        incr_hits: Counter, "Numbers incremented.";
        decr_misses: Counter, "Decrements of keys that were not there.";
        decr_hits: Counter, "Numbers decremented.";
        cas_misses: Counter, "Compare-and-swaps of keys that were not there.";
        cas_hits: Counter, "Compare-and-swaps that stored.";
        cas_badval: Counter, "Compare-and-swaps that found another version.";
        touch_hits: Counter, "Touched keys that were there.";
        touch_misses: Counter, "Touched keys that were not there.";
        store_too_large: Counter, "Values refused for their size.";
        store_no_memory: Counter, "Values refused because there was no memory.";
        auth_cmds: Counter, "Authentication attempts.";
        auth_errors: Counter, "Authentication attempts that failed.";
        idle_kicks: Counter, "Connections closed because they were idle.";
        bytes_read: Counter, "Bytes received from clients.";
        bytes_written: Counter, "Bytes sent to clients.";
        conn_yields: Counter, "Times a connection gave way to others after its share of requests.";
        curr_connections: Gauge, "Open client connections.";
        total_connections: Counter, "Client connections ever accepted.";
        rejected_connections: Counter, "Connections turned away at the limit.";
        listen_disabled_num: Counter, "Times accepting stopped for want of connections or files.";
        log_watchers: Gauge, "Connections that watch.";
        log_watcher_skipped: Counter, "Lines that watchers missed because they were slow.";
        log_watcher_sent: Counter, "Batches of lines handed to watchers.";
        ssl_handshakes: Counter, "TLS handshakes that succeeded.";
        ssl_resumed: Counter, "Of these, sessions that were resumed.";
        ssl_new_sessions: Counter, "Of these, new sessions.";
        ssl_handshake_errors: Counter, "TLS handshakes that failed, or took too long.";
        ssl_proto_errors: Counter, "TLS connections that failed after the handshake.";
        udp_requests: Counter, "Datagrams that were taken for requests.";
        udp_ignored: Counter, "Datagrams that were no requests, came from where no client can be, or took too long.";
        udp_lost: Counter, "Datagrams of replies that could not be sent.";
        mesh_letters_sent: Counter, "Requests sent to the core that owns the key.";
        mesh_letters_lent: Counter, "Letters to this core that their sender served itself while this core slept.";
        mesh_late_wakeups: Counter, "Letters found only when a sleeping core woke up by itself.";
        mesh_credit_stalls: Counter, "Times a connection waited because a core had too many letters under way.";
    }
}

metrics_table! {
    /// What a shard tells about its items, as the floor above hands it over: this one does not know the store.
    pub struct ItemTotals {
        curr_items: Gauge, "Items in memory.";
        total_items: Counter, "Items ever stored.";
        bytes: Gauge, "Bytes that count against the memory limit, index included.";
        limit_maxbytes: Gauge, "The memory limit in bytes.";
        hash_bytes: Gauge, "Bytes of the index.";
        hash_power_level: GaugeHighest, "A shard's index has room for 2 to this power of entries.";
        evictions: Counter, "Live items pushed out for room.";
        evicted_unfetched: Counter, "Evicted items that nobody had fetched.";
        evicted_active: Counter, "Evicted items fetched within the last minute before.";
        expired_unfetched: Counter, "Expired items taken back that nobody had fetched.";
        reclaimed: Counter, "Dead items whose memory was taken back to make room.";
        crawler_reclaimed: Counter, "Dead items taken back by the background sweep.";
        crawler_items_checked: Counter, "Items the background sweep has looked at.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;

    #[test]
    fn merging_adds_every_field_and_keeps_the_highest_where_a_sum_says_nothing() {
        let mut counters = Counters { cmd_get: 1, mesh_credit_stalls: 2, ..Counters::default() };
        let other = Counters { cmd_get: 10, curr_connections: 5, mesh_credit_stalls: 20, ..Counters::default() };
        counters.merge(&other);
        counters.merge(&other);
        let merged = Counters { cmd_get: 21, curr_connections: 10, mesh_credit_stalls: 42, ..Counters::default() };
        assert_eq!(counters, merged);

        let mut items = ItemTotals { bytes: 3, hash_power_level: 16, ..ItemTotals::default() };
        items.merge(&ItemTotals { bytes: 4, hash_power_level: 14, ..ItemTotals::default() });
        assert_eq!(items, ItemTotals { bytes: 7, hash_power_level: 16, ..ItemTotals::default() });
    }

    #[test]
    fn a_reset_keeps_gauges() {
        let mut counters = Counters { cmd_get: 1, curr_connections: 3, ..Counters::default() };
        counters.reset();
        assert_eq!(counters, Counters { curr_connections: 3, ..Counters::default() });
        let gauges: Vec<_> = Counters::METRICS.iter().filter(|metric| metric.kind != Kind::Counter).collect();
        assert_eq!(gauges.len(), 2, "{gauges:?}");
    }

    #[test]
    fn names_are_unique_and_have_help() {
        let all = Counters::METRICS.iter().chain(ItemTotals::METRICS);
        let names: std::collections::BTreeSet<_> = all.clone().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all.clone().count());
        assert!(all.clone().all(|metric| metric.help.ends_with('.')));
        let values = Counters { cmd_set: 7, ..Counters::default() };
        assert_eq!(values.iter().find(|(metric, _)| metric.name == "cmd_set").map(|(_, value)| value), Some(7));
    }
}
