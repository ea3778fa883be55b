//! Log lines on standard error.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

/// The highest verbosity that makes a difference (`-vvv`).
const VERBOSITY_MAX: u32 = 3;

static FILTER: OnceLock<Handle<Targets, Registry>> = OnceLock::new();

/// Starts logging: warnings and errors, more with each `-v`.
pub fn start(verbosity: u32) {
    let (filter, handle) = reload::Layer::new(level(verbosity));
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_target(false).with_writer(io::stderr);
    // Fails only if there is a log already, which then serves as well.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Logs more or less from now on: the command `verbosity`. Returns the level it has become.
pub fn set_verbosity(verbosity: u32) -> u32 {
    let verbosity = verbosity.min(VERBOSITY_MAX);
    if let Some(filter) = FILTER.get() {
        // Fails only when logging has ended.
        let _ = filter.reload(level(verbosity));
    }
    verbosity
}

/// What is shown. The executor's library speaks of its own affairs only at the highest level: what of it matters to a
/// user is said by us, in one line.
fn level(verbosity: u32) -> Targets {
    let (ours, executor) = match verbosity {
        0 => (LevelFilter::WARN, LevelFilter::OFF),
        1 => (LevelFilter::INFO, LevelFilter::OFF),
        2 => (LevelFilter::DEBUG, LevelFilter::WARN),
        _ => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    Targets::new().with_default(ours).with_target("glommio", executor)
}
