//! The one place that reads the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::admin::TimeShift;
use crate::terms::Now;

/// The monotonic clock starts here, so that moments before the start of the process can be told.
const START_MS: u64 = 10_000;
/// How often the offset to the wall clock is read again, which somebody may set.
const OFFSET_AGE_MAX_MS: u64 = 100;

/// Reads the time. Copies made of one clock agree, so all cores share one origin.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    origin: Instant,
    /// Unix time less monotonic time.
    offset_ms: u64,
    offset_read_ms: u64,
    /// What a test has done to the time of all cores, if it may.
    shift: Option<Arc<Shift>>,
}

/// A clock that was stopped and set forward (`debugtime`).
#[derive(Debug, Default)]
struct Shift {
    ahead_ms: AtomicU64,
    /// Where it stands still; 0 if it goes.
    paused_at_ms: AtomicU64,
}

impl Shift {
    fn of(&self, monotonic_ms: u64) -> u64 {
        let at_ms = match self.paused_at_ms.load(Ordering::Relaxed) {
            0 => monotonic_ms,
            paused_at_ms => paused_at_ms,
        };
        at_ms + self.ahead_ms.load(Ordering::Relaxed)
    }
}

#[expect(clippy::disallowed_methods, reason = "time is read here and passed down")]
impl Clock {
    /// A clock that starts now.
    /// A test may move it if `is_movable`.
    pub(super) fn start(is_movable: bool) -> Self {
        let shift = is_movable.then(Arc::default);
        let mut clock = Self { origin: Instant::now(), offset_ms: 0, offset_read_ms: 0, shift };
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
        let monotonic_ms = self.shift.as_ref().map_or(monotonic_ms, |shift| shift.of(monotonic_ms));
        Now { monotonic_ms, unix_ms: self.offset_ms + monotonic_ms }
    }

    /// Time since the clock was started, as exact as it comes. Nobody can move it.
    #[inline]
    pub(super) fn precise(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Does to the time of all cores what a test asks for.
    pub(super) fn shift(&self, by: TimeShift) {
        let Some(shift) = &self.shift else { return };
        match by {
            TimeShift::Pause => {
                let monotonic_ms = START_MS + millis(self.origin.elapsed());
                shift.paused_at_ms.store(monotonic_ms, Ordering::Relaxed);
            }
            TimeShift::Resume => shift.paused_at_ms.store(0, Ordering::Relaxed),
            TimeShift::Jump(seconds) => {
                shift.ahead_ms.fetch_add(u64::from(seconds) * 1000, Ordering::Relaxed);
            }
        }
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
