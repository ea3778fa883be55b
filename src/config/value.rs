//! Text to values, and the one shape of every complaint about them.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Why the command line was refused: one line, which names the option. The process ends with exit code 2.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError(String);

impl ConfigError {
    /// A complaint about the value of `option`.
    pub(super) fn bad(option: impl Display, complaint: impl Display) -> Self {
        Self::line(format!("{option}: {complaint}"))
    }

    /// `option` asks for something that may come later.
    pub(super) fn not_built(option: impl Display, what: impl Display) -> Self {
        Self::line(format!("not supported yet: {option} ({what})"))
    }

    /// A complaint that holds on one line whatever the user typed.
    pub(super) fn line(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().replace(char::is_control, " "))
    }
}

impl Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ringcached: {}", self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A plain decimal number within `range`.
pub(super) fn number<T>(option: impl Display, text: &str, range: RangeInclusive<T>) -> Result<T, ConfigError>
where
    T: FromStr + PartialOrd + Display,
{
    match text.parse::<T>() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => {
            let (low, high) = range.into_inner();
            Err(ConfigError::bad(option, format_args!("must be a number from {low} to {high}, not {text:?}")))
        }
    }
}

/// A number of bytes, or with `k` or `m` of KiB or MiB.
pub(super) fn size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// A list of CPUs such as `0,2-5`, in the order written.
pub(super) fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > CPU_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// No kernel numbers its CPUs higher; keeps a typing error from filling memory.
const CPU_MAX: usize = 8191;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_k_and_m() {
        for (text, bytes) in [("1024", 1024), ("1k", 1024), ("2M", 2 << 20), ("1024m", 1 << 30)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "k", "1g", "-1", "1.5m", "1 m", "99999999999999999m", "1é"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn cpu_lists_take_ranges() {
        assert_eq!(cpu_list("0,2-5"), Some(vec![0, 2, 3, 4, 5]));
        assert_eq!(cpu_list("7"), Some(vec![7]));
        for text in ["", ",", "1-", "-1", "3-1", "a", "0-99999999999"] {
            assert_eq!(cpu_list(text), None, "{text}");
        }
    }

    #[test]
    fn a_complaint_is_one_line() {
        assert_eq!(ConfigError::bad("-x", "a\nb\tc").to_string(), "ringcached: -x: a b c");
    }
}
