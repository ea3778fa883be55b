//! What another process has used so far, from /proc.

use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// What a process had used at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// User and system time of all its threads.
    pub(super) cpu: Duration,
    /// How long its threads that wanted to run stood in a queue for a CPU.
    pub(super) waited: Duration,
    /// Resident memory.
    pub(super) rss_bytes: u64,
}

impl Usage {
    pub(super) fn of(pid: u32) -> Result<Usage, String> {
        let stat_path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&stat_path).map_err(|error| format!("cannot read {stat_path}: {error}"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u32::try_from(ticks).ok());
        let cpu = ticks.and_then(|ticks| cpu(&stat, ticks)).ok_or(format!("{stat_path} is not what was expected"))?;
        Ok(Usage { cpu, waited: waited(pid), rss_bytes: rss_bytes(&status).unwrap_or(0) })
    }
}

fn cpu(stat: &str, ticks_per_second: u32) -> Option<Duration> {
    // The second field is a name in parentheses that may hold anything; after it, the 12th and 13th are the times.
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    let [user, system] = ticks.as_slice() else { return None };
    Some(Duration::from_secs(user + system) / ticks_per_second)
}

/// Nothing where the kernel does not count it.
fn waited(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    Duration::from_nanos(texts.filter_map(|text| queued(&text)).sum())
}

/// The second field, in nanoseconds; the first is the time that it ran.
fn queued(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_as_it_is_written() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(cpu("42 (x) S 1", 100), None);
        assert_eq!(rss_bytes("VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2048 * 1024));
        assert_eq!((queued("1053014 77 1\n"), queued("")), (Some(77), None));
        let ours = Usage::of(std::process::id()).unwrap();
        assert!(ours.rss_bytes > 0);
        assert!(Usage::of(u32::MAX).is_err());
    }
}
