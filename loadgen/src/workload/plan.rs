//! What a preset and a recorded trace say about a workload: the words that their files and the worker share.

use crate::workload::Operation;

/// A published workload by name. Its texts are in the syntax of the options they stand for; an option on the command
/// line wins over the preset, and the preset over the option's default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preset {
    /// As in `--preset`.
    pub(crate) name: &'static str,
    /// One line for the help page.
    pub(crate) about: &'static str,
    /// Where the figures were published.
    pub(crate) source: &'static str,
    /// `--mix`, for instance `get:95%,set:5%`.
    pub(crate) mix: &'static str,
    /// `--access`, for instance `zipf:0.99`.
    pub(crate) access: &'static str,
    /// `--key-size` in bytes.
    pub(crate) key_size: u16,
    /// `--value-size`, for instance `8:30%,100:50%,4096:20%`.
    pub(crate) value_size: &'static str,
    /// `--ttl`.
    pub(crate) ttl: &'static str,
    /// `--fill-on-miss`: what a get does not find is stored.
    pub(crate) fill_on_miss: bool,
}

/// One line of a recorded trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceRecord {
    /// Since the first record.
    pub(crate) at_us: u64,
    /// Index into [`Trace::keys`].
    pub(crate) key: u32,
    pub(crate) operation: Operation,
    /// Bytes of the value; for a get, of the value to store if the workload fills misses.
    pub(crate) value_size: u32,
    /// Seconds; 0 is for ever.
    pub(crate) ttl: u32,
}

/// A recorded trace, read whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    /// All keys, each once, at most 250 bytes and legal in every dialect.
    pub(crate) keys: Vec<Box<[u8]>>,
    /// In the order of their times.
    pub(crate) records: Vec<TraceRecord>,
}
