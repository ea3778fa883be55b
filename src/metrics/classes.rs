//! Counts by size class and by prefix of keys.

use super::table::metrics_table;

metrics_table! {
    /// What a shard tells about the items of one size class, as the floor above hands it over.
    pub struct ClassTotals {
        size_max: GaugeHighest, "The largest item of the class in bytes.";
        number: Gauge, "Items.";
        bytes: Gauge, "Their bytes.";
        age: GaugeHighest, "Seconds since the oldest item was used, as far as is known without looking at all.";
        evicted: Counter, "Items pushed out for room.";
        evicted_nonzero: Counter, "Evicted items that had an exptime.";
        evicted_time: GaugeHighest, "Seconds since the item evicted last had been used.";
        evicted_unfetched: Counter, "Evicted items that nobody had fetched.";
        evicted_active: Counter, "Evicted items fetched within the last minute before.";
        expired_unfetched: Counter, "Expired items taken back that nobody had fetched.";
        reclaimed: Counter, "Dead items whose memory was taken back to make room.";
        crawler_reclaimed: Counter, "Dead items taken back by the background sweep.";
        out_of_memory: Counter, "Items refused for want of memory.";
        get_hits: Counter, "Look-ups that found an item.";
        cmd_set: Counter, "Stored values.";
        delete_hits: Counter, "Items deleted by request.";
        incr_hits: Counter, "Numbers incremented.";
        decr_hits: Counter, "Numbers decremented.";
        cas_hits: Counter, "Compare-and-swaps that stored.";
        cas_badval: Counter, "Compare-and-swaps that found another version.";
        touch_hits: Counter, "Items touched.";
    }
}

metrics_table! {
    /// What was asked of the keys with one prefix.
    pub struct PrefixCounts {
        get: Counter, "Look-ups.";
        hit: Counter, "Look-ups that found an item.";
        set: Counter, "Storage requests.";
        del: Counter, "Deletes.";
    }
}
