//! How the cores' rings are made and waited for: `--ring-entries`, `--recv-buffers`, `--spin-us`, `--busy-poll`,
//! `--incoming-cpu`.

use std::time::Duration;

use super::given;
use super::options::Options;
use super::value::{ConfigError, number};
use crate::limits::{BUSY_POLL_US_MAX, RECV_BUFFERS_RANGE, RING_ENTRIES_RANGE, SPIN_US_MAX};

const RING_ENTRIES: u32 = 1024;
const RECV_BUFFERS: u16 = 512;

/// How the cores' rings are made and waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// Operations that one turn of a core may queue (`--ring-entries`).
    pub ring_entries: u32,
    /// Buffers that input of a core's connections lands in (`--recv-buffers`).
    pub recv_buffers: u16,
    /// How long a core with nothing to do looks again before it sleeps (`--spin-us`).
    pub spin: Duration,
    /// How long the kernel asks the network card itself before it waits (`--busy-poll`), in microseconds.
    pub busy_poll_us: Option<u32>,
    /// Whether a pinned core gets the connections whose packets its CPU handles (`--incoming-cpu`).
    pub incoming_cpu: bool,
}

/// Reads the options.
pub(super) fn tuning(options: &Options) -> Result<Tuning, ConfigError> {
    let busy_poll = options.busy_poll.as_ref().map(|text| number("--busy-poll", text, 1..=BUSY_POLL_US_MAX));
    let spin_us = options.spin_us.as_ref().map_or(Ok(0), |text| number("--spin-us", text, 0..=SPIN_US_MAX))?;
    Ok(Tuning {
        ring_entries: power_of_two("--ring-entries", options.ring_entries.as_ref(), RING_ENTRIES_RANGE, RING_ENTRIES)?,
        recv_buffers: power_of_two("--recv-buffers", options.recv_buffers.as_ref(), RECV_BUFFERS_RANGE, RECV_BUFFERS)?,
        spin: Duration::from_micros(spin_us.into()),
        busy_poll_us: busy_poll.transpose()?,
        incoming_cpu: options.incoming_cpu,
    })
}

fn power_of_two<T>(
    option: &str,
    text: Option<&String>,
    range: std::ops::RangeInclusive<T>,
    default: T,
) -> Result<T, ConfigError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy + Into<u32>,
{
    let value = given(option, text, range, default)?;
    if !value.into().is_power_of_two() {
        return Err(ConfigError::bad(option, format_args!("must be a power of two, not {value}")));
    }
    Ok(value)
}
