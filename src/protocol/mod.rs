//! Bytes to requests and responses to bytes, a module per dialect. Nothing here knows a shard or a socket.

pub mod admin;
pub mod binary;
mod error;
pub mod meta;
mod output;
mod request;
pub mod text;
pub(crate) mod tokens;
pub mod udp;

pub use error::ProtocolError;
pub use output::{Chunk, Output};
pub use request::{Keys, Op, Parsed, Request, Retrieval, ShutdownMode, StatsReport, StoreHead, Unstorable};

/// The dialect of a connection, from its first byte to its last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Lines: classic and meta commands.
    Text,
    /// Packets.
    Binary,
}
