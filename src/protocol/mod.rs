//! Bytes to requests and responses to bytes, a module per dialect. Nothing here knows a shard or a socket.

mod error;
mod output;
mod request;
pub mod text;
pub mod udp;

pub use error::ProtocolError;
pub use output::{Chunk, Output};
pub use request::{Keys, Op, Parsed, Request, Retrieval, ShutdownMode, StatsReport, StoreHead};
