//! What clients see: one suite of transcripts, run by every driver.
//!
//! A module is a behaviour, a test is a transcript (the language stands in `transcript.rs`). `cargo test` plays all of
//! them in this process (one core, then four connected by letters) and over loopback against a server with one and
//! with four cores. `cargo test --test behaviour tcp4` plays one driver's, and with the feature `reference-tests` there is
//! a driver `memcached` more, whose known deviations stand in `differences.rs`.
#![cfg_attr(not(feature = "reference-tests"), allow(dead_code, reason = "nothing then starts a memcached"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "texts of tests are built to be read, not to be fast"
)]

#[path = "../common/cluster.rs"]
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod differences;
mod driver;
mod driver_session;
mod driver_tcp;
mod packets;
mod talk;
mod transcript;

mod admin;
mod arithmetic;
mod authentication;
mod binary;
mod binary_errors;
mod cas;
mod dumps;
mod errors_and_limits;
mod expiry;
mod flush;
mod meta_arithmetic;
mod meta_delete;
mod meta_errors;
mod meta_get;
mod meta_set;
mod meta_stale;
mod noreply;
mod pipelining;
mod retrieval;
mod storage;
mod touch_gat;
mod udp;
mod watch;

macro_rules! suite {
    ($($driver:ident = $kind:ident),+ $(,)?) => {
        $(mod $driver {
            suite!(@ $kind retrieval storage cas arithmetic touch_gat expiry flush noreply errors_and_limits pipelining admin
                meta_get meta_set meta_delete meta_arithmetic meta_stale meta_errors dumps watch
                binary binary_errors authentication udp);
        })+
    };
    (@ $kind:ident $($behaviour:ident)+) => {
        $(#[test]
        fn $behaviour() {
            crate::talk::run(crate::driver::Kind::$kind, stringify!($behaviour), crate::$behaviour::cases());
        })+
    };
}

suite! {
    session = Session,
    session4 = Session4,
    tcp1 = Tcp1,
    tcp4 = Tcp4,
    unix4 = Unix4,
    tls4 = Tls4,
}

// Needs Debian's memcached, which `scripts/conformance` installs.
#[cfg(feature = "reference-tests")]
suite! {
    memcached = Memcached,
}
