//! Numbers with units, as the command line has them.

use std::time::Duration;

/// The longest time that may be asked for.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A time: `300us`, `1.5ms`, `10s`, `5m`, `12h`; `0` without a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] = [("us", 1e-6), ("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed = UNITS.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    parsed
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or("not a time like 300us, 500ms, 10s, 5m or 12h".to_string())
}

/// A number of things: `500`, `10k`, `1.5m` (million), `2g` (thousand million).
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let wrong = || "not a number like 500, 10k, 1.5m or 2g".to_string();
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let scaled = scaled(text).filter(|number| *number < 1e18 && number.fract() == 0.0).ok_or_else(wrong)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number below 10^18")]
    let count = scaled as u64;
    Ok(count)
}

/// A number of things, at least one.
pub(crate) fn some(text: &str) -> Result<u64, String> {
    count(text).and_then(|count| if count > 0 { Ok(count) } else { Err("must be at least 1".to_string()) })
}

/// Requests per second, one rate or from the first to the last of a ramp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) first: f64,
    pub(crate) last: Option<f64>,
}

/// `50000`, `50k`, or `10k..500k`.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || "not a rate like 50k or 10k..500k, in requests per second".to_string();
    let one = |text: &str| scaled(text).filter(|rate| (0.001..=1e10).contains(rate)).ok_or_else(wrong);
    match text.split_once("..") {
        None => Ok(Rate { first: one(text)?, last: None }),
        Some((first, last)) => {
            let (first, last) = (one(first)?, one(last)?);
            if first < last { Ok(Rate { first, last: Some(last) }) } else { Err("a ramp goes up".to_string()) }
        }
    }
}

fn scaled(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (number, factor) = [("k", 1e3), ("m", 1e6), ("g", 1e9)]
        .iter()
        .find_map(|(unit, factor)| lower.strip_suffix(unit).map(|number| (number, *factor)))
        .unwrap_or((&lower, 1.0));
    number.parse::<f64>().ok().map(|number| number * factor).filter(|number| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["10", "-1s", "s", "1d", "1e9h", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            (count("500m"), count("10k"), count("1.5m"), count("7")),
            (Ok(500_000_000), Ok(10_000), Ok(1_500_000), Ok(7))
        );
        for wrong in ["", "k", "-1", "1.5", "10 k", "nan", "infk"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
        assert!(some("0").is_err());
        assert_eq!(rate("50k"), Ok(Rate { first: 50_000.0, last: None }));
        assert_eq!(rate("10k..500k"), Ok(Rate { first: 10_000.0, last: Some(500_000.0) }));
        for wrong in ["0", "5..4", "..", "1..", "x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
