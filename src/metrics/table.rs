//! The one way a set of metrics is written down: name, kind and help together, so that a struct, its merge, its reset
//! and its listing cannot drift apart.

/// How a metric behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows; `stats reset` sets it to 0. Summed over cores.
    Counter,
    /// How something stands. Summed over cores; survives a reset.
    Gauge,
    /// How something stands, of which the process shows the highest over its cores; survives a reset.
    GaugeHighest,
}

/// What there is to know about a metric beside its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// The name `stats` shows.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it tells, in one sentence.
    pub help: &'static str,
}

impl Kind {
    pub(super) fn merge(self, into: &mut u64, from: u64) {
        *into = match self {
            Self::Counter | Self::Gauge => *into + from,
            Self::GaugeHighest => (*into).max(from),
        };
    }

    pub(super) const fn reset(self, value: &mut u64) {
        if matches!(self, Self::Counter) {
            *value = 0;
        }
    }
}

macro_rules! metrics_table {
    ($(#[$about:meta])* pub struct $table:ident { $($name:ident: $kind:ident, $help:literal;)+ }) => {
        $(#[$about])*
        #[derive(Clone, Default, PartialEq, Eq, Debug)]
        pub struct $table {
            $(#[doc = $help] pub $name: u64,)+
        }

        impl $table {
            /// Every metric of the table, in the order of its fields.
            pub const METRICS: &[$crate::metrics::Metric] = &[$($crate::metrics::Metric {
                name: stringify!($name),
                kind: $crate::metrics::Kind::$kind,
                help: $help,
            },)+];

            /// Adds what another core has.
            pub fn merge(&mut self, other: &Self) {
                $($crate::metrics::Kind::$kind.merge(&mut self.$name, other.$name);)+
            }

            /// `stats reset`: counters to 0, gauges stay.
            pub fn reset(&mut self) {
                $($crate::metrics::Kind::$kind.reset(&mut self.$name);)+
            }

            /// Every metric with its value, in the order of the fields.
            pub fn iter(&self) -> impl Iterator<Item = (&'static $crate::metrics::Metric, u64)> {
                Self::METRICS.iter().zip([$(self.$name),+])
            }
        }
    };
}

pub(super) use metrics_table;
