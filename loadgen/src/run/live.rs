//! What is shown while a run goes on: on a terminal one line that changes, elsewhere plain lines. On standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::model::Interval;

/// How often plain lines tell of a load phase that a run begins with.
const BAR_LOOK: Duration = Duration::from_millis(100);

pub(super) struct Live {
    /// How often plain lines come; zero is never.
    every: Duration,
    is_terminal: bool,
    bar: Option<Bar>,
    printed_at: Instant,
    /// Whether the cursor stands behind a line that may be overwritten.
    is_line_open: bool,
}

struct Bar {
    what: &'static str,
    begun: Instant,
    total: u64,
    drawn: ProgressBar,
}

impl Live {
    pub(super) fn new(every: Duration) -> Live {
        let is_terminal = io::stderr().is_terminal();
        Live { every, is_terminal, bar: None, printed_at: Instant::now(), is_line_open: false }
    }

    /// A phase begins that has so many things to do.
    pub(super) fn begin_bar(&mut self, what: &'static str, total: u64) {
        let target = if self.is_terminal && !self.every.is_zero() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let drawn = ProgressBar::with_draw_target(Some(total), target);
        let template = "{msg} {wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left";
        // The template is a constant that is known to be one; without it there is still a bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            drawn.set_style(style);
        }
        drawn.set_message(what);
        self.printed_at = Instant::now();
        self.bar = Some(Bar { what, begun: Instant::now(), total, drawn });
    }

    /// So many are done.
    pub(super) fn advance_bar(&mut self, done: u64) {
        let Some(bar) = &self.bar else { return };
        bar.drawn.set_position(done);
        if self.is_terminal || self.every.is_zero() || self.printed_at.elapsed() < self.every.max(BAR_LOOK) {
            return;
        }
        let line = bar_line(bar.what, done, bar.total, bar.begun.elapsed());
        self.print(&line);
    }

    pub(super) fn end_bar(&mut self, done: u64) {
        let Some(bar) = self.bar.take() else { return };
        bar.drawn.finish_and_clear();
        if !self.every.is_zero() && bar.begun.elapsed() >= self.every {
            let line = bar_line(bar.what, done, bar.total, bar.begun.elapsed());
            self.print(&line);
        }
    }

    /// A second of the run is over.
    pub(super) fn second(&mut self, interval: &Interval, rate: Option<f64>, is_step_over: bool) {
        if self.every.is_zero() {
            return;
        }
        let line = interval_line(interval, rate);
        if self.is_terminal {
            let ending = if is_step_over { "\n" } else { "" };
            let _ = write!(io::stderr(), "\r\x1b[K{line}{ending}");
            let _ = io::stderr().flush();
            self.is_line_open = !is_step_over;
        } else if is_step_over || self.printed_at.elapsed() + BAR_LOOK >= self.every {
            self.print(&line);
        }
    }

    /// The report comes next.
    pub(super) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.drawn.finish_and_clear();
        }
        if self.is_line_open {
            let _ = write!(io::stderr(), "\r\x1b[K");
            self.is_line_open = false;
        }
    }

    fn print(&mut self, line: &str) {
        self.printed_at = Instant::now();
        // Whoever reads the progress may leave; the run goes on.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn bar_line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = if done > 0 { (total - done.min(total)) as f64 / rate } else { f64::NAN };
    let percent = done as f64 * 100.0 / total.max(1) as f64;
    format!("{what}: {done} of {total} ({percent:.1} %), {rate:.0}/s, {left:.0} s left")
}

#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn interval_line(interval: &Interval, rate: Option<f64>) -> String {
    let asked = interval.hits + interval.misses;
    let hits =
        if asked > 0 { format!("  hits {:.1} %", interval.hits as f64 * 100.0 / asked as f64) } else { String::new() };
    let rate = rate.map_or(String::new(), |rate| format!(" of {rate:.0}"));
    format!(
        "{:>8.1} s  {:>9.0}{rate} requests/s  p50 {:.0} us  p99 {:.0} us  max {:.0} us{hits}  errors {}",
        interval.at_seconds + interval.seconds,
        interval.requests_per_second,
        interval.p50_us,
        interval.p99_us,
        interval.max_us,
        interval.errors
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_is_done_and_what_is_left() {
        assert_eq!(bar_line("load", 250, 1000, Duration::from_secs(5)), "load: 250 of 1000 (25.0 %), 50/s, 15 s left");
        let interval = Interval {
            at_seconds: 4.0,
            seconds: 1.0,
            requests_per_second: 1234.4,
            hits: 1,
            misses: 1,
            p50_us: 10.0,
            p99_us: 20.0,
            max_us: 30.0,
            ..Interval::default()
        };
        let line = interval_line(&interval, Some(2000.0));
        assert_eq!(
            line,
            "     5.0 s       1234 of 2000 requests/s  p50 10 us  p99 20 us  max 30 us  hits 50.0 %  errors 0"
        );
    }
}
