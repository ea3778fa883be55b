//! When what happens in a run: warm-up, the steps of a ramp, and the seconds that are reported one by one. The same for
//! all workers, so that what they report of a second adds up. All times are nanoseconds on the run's clock.

const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// When measuring begins: after the warm-up.
    pub(crate) begin: u64,
    pub(crate) step_len: u64,
    pub(crate) steps: u64,
}

impl Schedule {
    /// When measuring ends.
    pub(crate) fn end(&self) -> u64 {
        self.begin.saturating_add(self.step_len.saturating_mul(self.steps))
    }

    /// Which step a moment belongs to; the first before, the last after them all.
    pub(crate) fn step(&self, at: u64) -> usize {
        let step = at.saturating_sub(self.begin).checked_div(self.step_len).unwrap_or(0);
        usize::try_from(step.min(self.steps.saturating_sub(1))).unwrap_or(0)
    }

    pub(crate) fn step_begin(&self, step: usize) -> u64 {
        self.begin.saturating_add(self.step_len.saturating_mul(step as u64))
    }

    /// The end of the reported interval that begins at `at`: a second later, or where the step ends.
    pub(crate) fn interval_end(&self, at: u64) -> u64 {
        let step_end = self.step_begin(self.step(at) + 1);
        at.saturating_add(SECOND).min(step_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_end_with_the_second_or_the_step() {
        let schedule = Schedule { begin: 500, step_len: 2 * SECOND + 7, steps: 2 };
        let mut ends = Vec::new();
        let mut at = schedule.begin;
        while at < schedule.end() {
            at = schedule.interval_end(at);
            ends.push((at - 500, schedule.step(at - 1)));
        }
        let step = 2 * SECOND + 7;
        let expected =
            [(SECOND, 0), (2 * SECOND, 0), (step, 0), (step + SECOND, 1), (step + 2 * SECOND, 1), (2 * step, 1)];
        assert_eq!(ends, expected);
        assert_eq!((schedule.step(0), schedule.step(u64::MAX)), (0, 1));
    }
}
