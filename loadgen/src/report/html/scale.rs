//! Axes: where a value stands, and which values are marked.

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spread {
    /// Evenly, from 0.
    Linear,
    /// Each factor of ten takes as much room.
    Log,
    /// Percentiles: each further nine takes as much room, so that the tail is seen.
    Nines,
}

/// What values are, for their labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quantity {
    /// Microseconds.
    Time,
    /// So many per second.
    Rate,
    /// Seconds since the begin.
    Seconds,
    /// From 0 to 100.
    Percentile,
    Ratio,
}

/// One axis: a range of values, spread over 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    spread: Spread,
    quantity: Quantity,
    /// In the unit of the spread: values, their logarithms, or nines.
    low: f64,
    high: f64,
}

/// A percentile nearer to 100 than this stands at the end of the axis.
const NINES_MAX: f64 = 7.0;
/// About so many marks on a linear axis.
const MARKS: f64 = 5.0;

impl Scale {
    /// An axis on which all these values have room.
    pub(crate) fn over(spread: Spread, quantity: Quantity, values: impl IntoIterator<Item = f64>) -> Scale {
        let is_sound = |value: &f64| value.is_finite() && (spread != Spread::Log || *value > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(is_sound) {
            let value = transformed(spread, value);
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        match spread {
            Spread::Linear if quantity == Quantity::Seconds => low = 0.0,
            Spread::Linear => {
                let step = step(high);
                (low, high) = (0.0, (high / step).ceil() * step);
            }
            // To the next marks outwards, with room for at least two.
            Spread::Log => {
                (low, high) = (mark_below(low), -mark_below(-high));
                if high - low < 0.3 {
                    high = low + 0.35;
                }
            }
            Spread::Nines => (low, high) = (0.0, high.ceil().clamp(2.0, NINES_MAX)),
        }
        if high <= low {
            high = low + 1.0;
        }
        Scale { spread, quantity, low, high }
    }

    /// Where a value stands, from 0 to 1.
    pub(crate) fn position(&self, value: f64) -> f64 {
        ((transformed(self.spread, value) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The marked values with their labels.
    pub(crate) fn marks(&self) -> Vec<(f64, String)> {
        let values: Vec<f64> = match self.spread {
            Spread::Linear => {
                let step = step(self.high);
                (0..100)
                    .map(|number| f64::from(number) * step)
                    .take_while(|value| *value <= self.high * 1.001)
                    .collect()
            }
            Spread::Log => self.log_marks(),
            Spread::Nines => {
                let nines = (1..=7).map(|nines| 100.0 - 100.0 * 0.1_f64.powi(nines));
                // 0 and 50 % stand too close together where there are many nines.
                let few = [0.0, 50.0].into_iter().skip(usize::from(self.high > 4.0));
                few.chain(nines).filter(|value| transformed(self.spread, *value) <= self.high).collect()
            }
        };
        values.into_iter().map(|value| (value, self.quantity.label(value))).collect()
    }

    /// 1, 2 and 5 times powers of ten, or the powers alone where there are many.
    fn log_marks(&self) -> Vec<f64> {
        let digits: &[f64] = if self.high - self.low > 3.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let range = self.low - 1e-9..=self.high + 1e-9;
        let powers = (-12..=12).map(|power| 10_f64.powi(power));
        let values = powers.flat_map(|power| digits.iter().map(move |digit| digit * power));
        values.filter(|value| range.contains(&value.log10())).collect()
    }
}

impl Quantity {
    /// A value with its unit, short enough for an axis.
    pub(crate) fn label(self, value: f64) -> String {
        match self {
            Quantity::Time if value >= 1e6 => format!("{} s", trimmed(value / 1e6, 2)),
            Quantity::Time if value >= 1e3 => format!("{} ms", trimmed(value / 1e3, 2)),
            Quantity::Time => format!("{} µs", trimmed(value, 1)),
            Quantity::Rate if value >= 1e6 => format!("{} M", trimmed(value / 1e6, 2)),
            Quantity::Rate if value >= 1e3 => format!("{} k", trimmed(value / 1e3, 1)),
            Quantity::Rate | Quantity::Seconds => trimmed(value, 1),
            Quantity::Percentile => format!("{} %", trimmed(value, 5)),
            Quantity::Ratio => trimmed(value, 3),
        }
    }
}

fn transformed(spread: Spread, value: f64) -> f64 {
    match spread {
        Spread::Linear => value,
        Spread::Log => value.max(1e-12).log10(),
        Spread::Nines => -(1.0 - value / 100.0).max(0.1_f64.powf(NINES_MAX)).log10(),
    }
}

/// The logarithm of the next 1, 2 or 5 times a power of ten downwards; by its mirror image, upwards.
fn mark_below(log: f64) -> f64 {
    let power = log.floor();
    // Upwards, the mirror images of 2 and 5 times ten are 5 and 2 times ten.
    let digits = [5_f64.log10(), 2_f64.log10(), 0.0];
    power + digits.into_iter().find(|digit| *digit <= log - power + 1e-9).unwrap_or(0.0)
}

/// The distance between marks of an axis from 0 to `high`.
fn step(high: f64) -> f64 {
    if high <= 0.0 {
        return 1.0;
    }
    let raw = high / MARKS;
    let power = 10_f64.powf(raw.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= raw * 0.999).unwrap_or(10.0);
    digit * power
}

/// With at most so many digits behind the point, and none that are zeros at the end.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the ends of an axis are exact")]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.marks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn linear_axes_begin_at_zero() {
        let scale = Scale::over(Spread::Linear, Quantity::Rate, [90_000.0, 123_000.0]);
        assert_eq!(labels(&scale), ["0", "50 k", "100 k", "150 k"]);
        assert!((scale.position(75_000.0) - 0.5).abs() < 1e-9);
        let seconds = Scale::over(Spread::Linear, Quantity::Seconds, [1.0, 5.0]);
        assert_eq!(labels(&seconds), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(seconds.position(5.0), 1.0);
    }

    #[test]
    fn log_axes_end_at_marks() {
        let scale = Scale::over(Spread::Log, Quantity::Time, [30.0, 4_000.0, 0.0]);
        let marks = labels(&scale);
        assert_eq!(marks.first().unwrap(), "20 µs");
        assert_eq!(marks.last().unwrap(), "5 ms");
        assert!((scale.position(20.0), scale.position(5_000.0)) == (0.0, 1.0), "{scale:?}");
        let narrow = Scale::over(Spread::Log, Quantity::Time, [100.0]);
        assert!(narrow.marks().len() >= 2, "{narrow:?}");
        let wide = Scale::over(Spread::Log, Quantity::Time, [1.0, 1e6]);
        assert_eq!(labels(&wide), ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
    }

    #[test]
    fn nines_have_room_alike() {
        let scale = Scale::over(Spread::Nines, Quantity::Percentile, [0.0, 99.995]);
        assert_eq!(labels(&scale), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]);
        let (nine, two) = (scale.position(90.0), scale.position(99.0));
        assert!((two - 2.0 * nine).abs() < 1e-9);
        assert_eq!(scale.position(100.0), 1.0);
    }

    #[test]
    fn nothing_to_show_is_no_panic() {
        for spread in [Spread::Linear, Spread::Log, Spread::Nines] {
            let scale = Scale::over(spread, Quantity::Rate, [f64::NAN]);
            assert!(!scale.marks().is_empty(), "{scale:?}");
            assert!((0.0..=1.0).contains(&scale.position(3.0)));
        }
    }
}
