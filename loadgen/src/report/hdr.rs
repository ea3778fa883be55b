//! `--hdr`: latencies in the formats of HdrHistogram's own tools.
//!
//! A file whose name ends in `.hlog` is an interval log of format 1.3, one line per second and operation, for
//! HistogramLogAnalyzer and HistogramLogProcessor; any other is a percentile distribution (`.hgrm`), for plotFiles.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::report::model::Interval;
use crate::tally::Tally;

/// Lines of a distribution for each halving of the distance to 100 %, as HdrHistogram's own tools write by default.
const TICKS: u32 = 5;
/// Values are nanoseconds; both formats show milliseconds.
const NANOS_PER_MILLI: f64 = 1e6;

/// A file that is written while the run goes on: its size in memory does not depend on how long that is.
pub(crate) struct Recorder {
    out: BufWriter<File>,
    path: String,
    kind: Kind,
    /// The first error; the run goes on, and it is told at the end.
    failed: Option<io::Error>,
}

enum Kind {
    Distribution,
    Log { has_head: bool },
}

impl Recorder {
    /// Creates the file at once: a path that cannot be written is better known before the run.
    pub(crate) fn create(path: &Path) -> Result<Recorder, String> {
        let kind = match path.extension() {
            Some(extension) if extension == "hlog" => Kind::Log { has_head: false },
            _ => Kind::Distribution,
        };
        let file = File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Recorder { out: BufWriter::new(file), path: path.display().to_string(), kind, failed: None })
    }

    /// A second of the run is over; `begun` is when measuring began.
    pub(crate) fn second(&mut self, second: &Interval, tally: &Tally, begun: SystemTime) {
        let Kind::Log { has_head } = &mut self.kind else { return };
        let mut text = String::new();
        if !std::mem::replace(has_head, true) {
            text.push_str(&log_head(begun));
        }
        text.push_str(&log_line(second, None, &tally.histogram()));
        for (operation, count) in tally.counts() {
            text.push_str(&log_line(second, Some(operation.name()), &count.histogram));
        }
        if let Err(error) = self.out.write_all(text.as_bytes()) {
            self.failed.get_or_insert(error);
        }
    }

    /// The run is over.
    pub(crate) fn finish(mut self, total: &Tally) -> Result<(), String> {
        let last = match self.kind {
            Kind::Distribution => self.out.write_all(distribution(&total.histogram()).as_bytes()),
            Kind::Log { .. } => Ok(()),
        };
        let failed = self.failed.map_or(Ok(()), Err);
        failed.and(last).and_then(|()| self.out.flush()).map_err(|error| format!("cannot write {}: {error}", self.path))
    }
}

fn log_head(begun: SystemTime) -> String {
    let begun = begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    format!(
        "#[Logged with loadgen {}]\n#[Histogram log format version 1.3]\n\
         #[StartTime: {begun:.3} (seconds since epoch)]\n#[BaseTime: {begun:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn log_line(second: &Interval, tag: Option<&str>, histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // A histogram of this crate's bounds fits the format, and a vector takes all.
    if V2DeflateSerializer::new().serialize(histogram, &mut bytes).is_err() {
        return String::new();
    }
    let tag = tag.map_or(String::new(), |tag| format!("Tag={tag},"));
    let max = millis(histogram.max());
    format!("{tag}{:.3},{:.3},{max:.3},{}\n", second.at_seconds, second.seconds, STANDARD.encode(bytes))
}

/// Value, percentile, count of values up to it, and the reciprocal of what is left: the columns of HdrHistogram's
/// `outputPercentileDistribution`. The last has no reciprocal.
fn distribution(histogram: &Histogram<u64>) -> String {
    let mut text = format!("{:>16} {:>14} {:>12} {:>16}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS) {
        count += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = millis(step.value_iterated_to().min(histogram.max()));
        // Writing to a string cannot fail, here and below.
        let _ = write!(text, "{value:>16.6} {quantile:>14.12} {count:>12}");
        if quantile < 1.0 {
            let _ = write!(text, " {:>16.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:>12.6}, StdDeviation   = {:>12.6}]\n#[Max     = {:>12.6}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.mean() / NANOS_PER_MILLI,
        histogram.stdev() / NANOS_PER_MILLI,
        millis(histogram.max()),
        histogram.len(),
        histogram.buckets(),
        2048
    );
    text
}

#[expect(clippy::cast_precision_loss, reason = "a latency in nanoseconds fits 53 bits")]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / NANOS_PER_MILLI
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use std::fs;
    use std::time::Duration;

    use crate::conversation::Reply;
    use crate::workload::Operation;
    use crate::workload::keyspace::Family;
    use crate::workload::source::{Request, Then};

    fn tally(latencies: impl Iterator<Item = u64>) -> Tally {
        let (family, then) = (Family::Item, Then::Nothing);
        let request =
            Request { operation: Operation::Get, family, key: 0, version: 0, size: 0, ttl: 0, unique: 0, then };
        let mut tally = Tally::default();
        for nanos in latencies {
            tally.reply(&Reply { request, at: 0, hits: 1, misses: 0, unique: 0, is_refused: false }, nanos);
        }
        tally.settle();
        tally
    }

    fn written(name: &str, tallies: &[Tally]) -> String {
        let path = std::env::temp_dir().join(format!("loadgen-{}-{name}", std::process::id()));
        let mut recorder = Recorder::create(&path).unwrap();
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut total = Tally::default();
        for (at, tally) in (0_u32..).zip(tallies) {
            recorder.second(&Interval { at_seconds: at.into(), seconds: 1.0, ..Interval::default() }, tally, begun);
            total.merge(tally);
        }
        recorder.finish(&total).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        text
    }

    #[test]
    fn a_log_is_read_by_the_formats_own_reader() {
        let seconds = [tally((1..=1000).map(|micros| micros * 1000)), tally([5_000_000, 7_000_000].into_iter())];
        let text = written("a.hlog", &seconds);
        let mut lines = Vec::new();
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            match entry.unwrap() {
                LogEntry::StartTime(time) | LogEntry::BaseTime(time) => assert_eq!(time.as_secs(), 1_700_000_000),
                LogEntry::Interval(interval) => lines.push(interval),
            }
        }
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[1].tag().map(|tag| tag.as_str()), Some("get"));
        let second = &lines[2];
        assert_eq!((second.tag(), second.start_timestamp(), second.duration()), {
            (None, Duration::from_secs(1), Duration::from_secs(1))
        });
        assert!((second.max() - 7.0).abs() < 0.01, "{}", second.max());
        let bytes = STANDARD.decode(second.encoded_histogram()).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!((read.len(), read.count_at(5_000_000)), (2, 1));
    }

    /// What plotFiles takes: lines of four numbers, of which the first and the last are drawn.
    #[test]
    fn a_distribution_has_the_columns_that_are_drawn() {
        let text = written("b.hgrm", &[tally((1..=100_000).map(|number| number * 100))]);
        let mut lines = text.lines();
        let head: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(head, ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
        let rows: Vec<Vec<f64>> = lines
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| line.split_whitespace().map(|number| number.parse().unwrap()).collect())
            .collect();
        let median = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert!((median[0] - 5.0).abs() < 0.05 && (median[3] - 2.0).abs() < 0.01, "{median:?}");
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][2] <= pair[1][2]));
        let last = rows.last().unwrap();
        assert!(last.len() == 3 && last[1] > 0.999_999 && last[2] > 99_999.0, "{last:?}");
        assert!(text.contains("#[Max     =") && text.contains("Total count    =       100000]"), "{text}");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_told_at_once() {
        let error = Recorder::create(Path::new("/nowhere/x.hgrm")).err().unwrap();
        assert!(error.contains("/nowhere/x.hgrm"), "{error}");
    }
}
