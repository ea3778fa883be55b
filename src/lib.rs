//! ringcached: a memcached-compatible cache server for Linux. One executor per core, nothing shared between parse
//! and reply.
//!
//! The crate is built in floors; a module imports only from floors below its own (`tests/tidy.rs` holds it):
//!
//! 0. words and numbers: [`terms`], [`limits`], [`metrics`]; [`memory`] that is counted; [`lending`] between threads
//! 1. pure parts that never import each other: [`protocol`] (bytes to requests and back), [`store`] (one core's
//!    items), [`routing`] (which core owns a key), [`auth`] (who may talk to the server)
//! 2. the meaning: [`execute`] (a request changes a shard), [`session`] (one conversation), [`engine`] (all of one
//!    core: sessions, shard, letters), all without sockets, clocks or threads
//! 3. the world: [`config`], [`server`] (the data plane, one executor per core), [`control`] (everything else)
//!
//! Floors 0 to 2 build without the default feature `server`. Read them in the order `protocol::text`, `engine`,
//! `session`, `execute`, `store::Shard`, then `server::core`.

pub mod lending;
pub mod limits;
pub mod memory;
pub mod metrics;
pub mod terms;

pub mod auth;
pub mod protocol;
pub mod routing;
pub mod store;

pub mod engine;
pub mod execute;
pub mod session;

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod control;
#[cfg(feature = "server")]
pub mod server;
