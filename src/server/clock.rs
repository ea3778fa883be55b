//! The one place that reads the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::terms::Now;

/// The monotonic clock starts here, so that moments before the start of the process can be told.
const START_MS: u64 = 10_000;
/// How often the offset to the wall clock is read again, which somebody may set.
const OFFSET_AGE_MAX_MS: u64 = 100;

/// Reads the time. Copies made of one clock agree, so all cores share one origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Instant,
    /// Unix time less monotonic time.
    offset_ms: u64,
    offset_read_ms: u64,
}

#[expect(clippy::disallowed_methods, reason = "time is read here and passed down")]
impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        let mut clock = Self { origin: Instant::now(), offset_ms: 0, offset_read_ms: 0 };
        clock.read_offset(START_MS);
        clock
    }

    /// This moment.
    #[inline]
    pub(super) fn now(&mut self) -> Now {
        let monotonic_ms = START_MS + millis(self.origin.elapsed());
        if monotonic_ms - self.offset_read_ms >= OFFSET_AGE_MAX_MS {
            self.read_offset(monotonic_ms);
        }
        Now { monotonic_ms, unix_ms: self.offset_ms + monotonic_ms }
    }

    /// Milliseconds since the process started, of a moment that this clock told.
    pub(super) const fn uptime_ms(now: Now) -> u64 {
        now.monotonic_ms.saturating_sub(START_MS)
    }

    fn read_offset(&mut self, monotonic_ms: u64) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.offset_ms = millis(unix).saturating_sub(monotonic_ms);
        self.offset_read_ms = monotonic_ms;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
