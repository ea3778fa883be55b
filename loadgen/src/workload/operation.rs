//! What can be asked of a server.

use serde::{Deserialize, Serialize};

/// A kind of request. The order is the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    /// One key's value.
    Get,
    /// One key's value with its CAS unique.
    Gets,
    /// The values of several keys in one request.
    MultiGet,
    /// A value and a new time to live.
    Gat,
    /// Store always.
    Set,
    /// Store after a miss, in a cache-aside workload.
    Fill,
    /// Store if the key is not there.
    Add,
    /// Store if nobody else has since a `gets`, which goes before.
    Cas,
    /// Lengthen a value.
    Append,
    /// Count.
    Incr,
    /// A new time to live.
    Touch,
    Delete,
}

impl Operation {
    /// All of them, in the order of reports.
    pub(crate) const ALL: [Operation; 12] = [
        Operation::Get,
        Operation::Gets,
        Operation::MultiGet,
        Operation::Gat,
        Operation::Set,
        Operation::Fill,
        Operation::Add,
        Operation::Cas,
        Operation::Append,
        Operation::Incr,
        Operation::Touch,
        Operation::Delete,
    ];

    /// As in `--mix`, reports and traces.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Gets => "gets",
            Operation::MultiGet => "multiget",
            Operation::Gat => "gat",
            Operation::Set => "set",
            Operation::Fill => "fill",
            Operation::Add => "add",
            Operation::Cas => "cas",
            Operation::Append => "append",
            Operation::Incr => "incr",
            Operation::Touch => "touch",
            Operation::Delete => "delete",
        }
    }

    /// Whether it asks for values.
    pub(crate) fn is_retrieval(self) -> bool {
        matches!(self, Operation::Get | Operation::Gets | Operation::MultiGet | Operation::Gat)
    }

    pub(crate) fn named(name: &str) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| operation.name() == name)
    }
}
