//! A request that all cores take part in.

use crate::protocol::binary::Tag;
use crate::session::letter::Totals;
use crate::session::report::{Report, ReportKind};
use crate::session::slots::SlotNumber;
use crate::terms::{Exptime, FlushOrder};

/// What all cores are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GatherKind {
    /// `flush_all`, first step: shard 0 gives it its place in the order of all flushes.
    StampFlush(Exptime),
    /// `flush_all`, second step: every shard applies it.
    Flush(FlushOrder),
    /// `stats`.
    Totals,
    /// `stats conns`.
    Connections,
    /// `stats reset`.
    ResetCounters,
    /// `refresh_certs`: asks the world, and no core.
    Certificates,
    /// `cache_memlimit`, in bytes.
    MemoryLimit(usize),
    /// No core: the reply, which is there already, is held back.
    Delay {
        /// Until this moment, in milliseconds of the monotonic clock.
        until_ms: u64,
    },
    /// `stats items`, or `stats sizes`, or `stats detail dump`.
    Report(ReportKind),
    /// `stats slabs`.
    Slabs,
    /// `stats detail on` and `off`.
    Detail(bool),
}

/// A request to all cores in progress.
#[derive(Debug)]
pub struct Gather {
    /// What is asked.
    pub kind: GatherKind,
    /// Where the reply goes; `None` if nobody wants it.
    pub slot: Option<SlotNumber>,
    /// Of a packet: what its responses repeat.
    pub tag: Option<Tag>,
    /// Whether the letters have been made.
    pub started: bool,
    /// Answers still to come.
    pub waiting: usize,
    /// Counters so far.
    pub totals: Totals,
    /// Reply text so far.
    pub text: Vec<u8>,
    /// What the cores have reported so far.
    pub report: Option<Report>,
}

impl Gather {
    /// A gathering that has not started.
    pub fn new(kind: GatherKind, slot: Option<SlotNumber>) -> Box<Self> {
        let (totals, text) = (Totals::default(), Vec::new());
        Box::new(Self { kind, slot, tag: None, started: false, waiting: 0, totals, text, report: None })
    }
}
