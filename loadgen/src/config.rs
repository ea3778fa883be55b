//! Options to a plan: what was given, what a preset says, what is the default; and what cannot be.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::conversation::Manner;
use crate::dialect::Dialect;
use crate::options::{Options, Verify};
use crate::report::model::Configuration;
use crate::worker::plan::{Pace, Plan, RunPlan};
use crate::workload::Operation;
use crate::workload::access::Pattern;
use crate::workload::arrivals::Gaps;
use crate::workload::distribution::{Sizes, Ttls};
use crate::workload::keyspace::Keyspace;
use crate::workload::mix::Mix;
use crate::workload::plan::{Preset, Trace};
use crate::workload::random::Draw;
use crate::workload::trace;

const KEY_SIZE: u16 = 16;
const DURATION: Duration = Duration::from_secs(10);
/// With `--requests`: as good as for ever.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Keys of a multi-get in a mix that does not say.
const MULTIGET: u16 = 10;
/// At least so many requests are in flight on a connection while items are loaded.
const LOAD_DEPTH_MIN: u32 = 64;
/// Steps of a ramp that does not say.
const RAMP_STEPS: f64 = 20.0;
/// No ramp has more steps.
const RAMP_STEPS_MAX: usize = 10_000;
/// A request datagram cannot be longer.
const DATAGRAM_LEN_MAX: u64 = 65_000;

/// A run as it will take place.
pub(crate) struct Config {
    pub(crate) plan: Plan,
    pub(crate) keyspace: Keyspace,
    /// For the report; the CPUs are filled in later.
    pub(crate) configuration: Configuration,
    pub(crate) label: String,
}

/// The workload of a run, preset and options taken together.
struct Chosen {
    preset: Option<&'static Preset>,
    mix: Mix,
    multiget: u16,
    pattern: Pattern,
    key_size: u16,
    sizes: Sizes,
    ttls: Ttls,
    fills: bool,
}

/// Checks the options and completes them. The error is one line.
pub(crate) fn resolve(options: &Options) -> Result<Config, String> {
    let chosen = choose(options)?;
    let is_text = options.dialect == Dialect::Text;
    if options.udp && !is_text {
        return Err("UDP is spoken in the text dialect only".into());
    }
    if options.quiet && is_text {
        return Err("the text dialect has no quiet requests that could be checked: use --dialect meta or binary".into());
    }
    if options.udp && chosen.sizes.bounds().1 > DATAGRAM_LEN_MAX {
        return Err(format!("a value of more than {DATAGRAM_LEN_MAX} bytes does not fit a datagram"));
    }
    let trace = match &options.trace {
        Some(path) => Some(Arc::new(read_trace(path)?)),
        None => None,
    };
    let keyspace = keyspace(options, &chosen, trace.as_deref())?;
    // The values of counters and growing keys do not follow from their keys.
    let spoils = |trace: &Trace| {
        let spoils = |operation| matches!(operation, Operation::Incr | Operation::Append);
        trace.records.iter().any(|record| spoils(record.operation))
    };
    let verify = options.verify == Verify::Full && !trace.as_deref().is_some_and(spoils);
    let pace = pace(options)?;
    let configuration = configuration(options, &chosen, &pace, verify, keyspace.count());
    let load = match options.load {
        Some(count) => count,
        None if options.no_load || chosen.fills || trace.is_some() => 0,
        None => keyspace.count(),
    };
    let run = options.load.is_none().then(|| RunPlan {
        pace,
        depth: options.pipeline as usize,
        mix: chosen.mix.clone(),
        pattern: chosen.pattern,
        multiget: chosen.multiget.into(),
        fills: chosen.fills,
        requests: options.requests.unwrap_or(u64::MAX),
        trace,
        warmup: options.warmup,
        duration: options.duration.unwrap_or(if is_open_ended(options) { DURATION_MAX } else { DURATION }),
    });
    let manner =
        Manner { dialect: options.dialect, verify, quiet: options.quiet, wants_misses: wants_misses(options, &chosen) };
    let plan = Plan {
        manner,
        is_udp: options.udp,
        load,
        load_depth: if options.udp { options.pipeline } else { options.pipeline.max(LOAD_DEPTH_MIN) } as usize,
        check: options.check.unwrap_or(0),
        run,
        seed: options.seed,
        ttls: chosen.ttls,
        timeout: options.timeout,
    };
    let label = options.label.clone().unwrap_or_else(|| options.server.clone());
    Ok(Config { plan, keyspace, configuration, label })
}

fn read_trace(path: &Path) -> Result<Trace, String> {
    let file = File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    trace::parse(file).map_err(|error| format!("{}: {error}", path.display()))
}

fn choose(options: &Options) -> Result<Chosen, String> {
    let preset = match &options.preset {
        None => None,
        Some(name) => Some(Preset::named(name)?),
    };
    let parsed = |what: &str, text: &str| format!("preset: {what} `{text}`");
    let mix = match (&options.mix, options.get_ratio, preset) {
        (Some(mix), ..) => mix.clone(),
        (None, None, Some(preset)) => preset.mix.parse().map_err(|_| parsed("mix", preset.mix))?,
        (None, ratio, _) => {
            Mix::gets_and_sets(ratio.unwrap_or(0.9), options.multiget.is_some_and(|multiget| multiget > 1))
        }
    };
    let pattern = match (options.access, preset) {
        (Some(pattern), _) => pattern,
        (None, Some(preset)) => preset.access.parse().map_err(|_| parsed("access", preset.access))?,
        (None, None) => Pattern::Uniform,
    };
    let sizes = match (&options.value_size, preset) {
        (Some(sizes), _) => sizes.clone(),
        (None, Some(preset)) => preset.value_size.parse().map_err(|_| parsed("value size", preset.value_size))?,
        (None, None) => "100".parse()?,
    };
    let ttls = match (&options.ttl, preset) {
        (Some(ttls), _) => ttls.clone(),
        (None, Some(preset)) => preset.ttl.parse().map_err(|_| parsed("ttl", preset.ttl))?,
        (None, None) => "0".parse()?,
    };
    let key_size = options.key_size.or(preset.map(|preset| preset.key_size)).unwrap_or(KEY_SIZE);
    let fills = options.fill_on_miss || preset.is_some_and(|preset| preset.fill_on_miss);
    let multiget = options.multiget.unwrap_or(MULTIGET);
    Ok(Chosen { preset, mix, multiget, pattern, key_size, sizes, ttls, fills })
}

fn keyspace(options: &Options, chosen: &Chosen, trace: Option<&Trace>) -> Result<Keyspace, String> {
    if let Some(trace) = trace {
        return Ok(Keyspace::listed(trace.keys.clone(), chosen.sizes.clone()));
    }
    let keys = options.load.unwrap_or(options.keys);
    let keyspace = Keyspace::numbered(keys, chosen.key_size.into(), chosen.sizes.clone())
        .ok_or_else(|| format!("{keys} keys of {} bytes do not exist", chosen.key_size))?;
    let needs_families = chosen.mix.has(Operation::Incr) || chosen.mix.has(Operation::Append);
    if needs_families && !keyspace.has_families() {
        return Err(format!("incr and append need keys of their own: --key-size above {}", chosen.key_size));
    }
    Ok(keyspace)
}

fn wants_misses(options: &Options, chosen: &Chosen) -> bool {
    chosen.fills || options.trace.is_some() || chosen.mix.has(Operation::Incr) || chosen.mix.has(Operation::Append)
}

/// Whether the run ends by itself.
fn is_open_ended(options: &Options) -> bool {
    options.requests.is_some() || options.trace.is_some()
}

fn pace(options: &Options) -> Result<Pace, String> {
    if options.trace.is_some() && options.trace_speed > 0.0 {
        return Ok(Pace::Recorded { speed: options.trace_speed });
    }
    let Some(rate) = options.rate else { return Ok(Pace::Closed { think: options.think }) };
    let gaps = options.arrivals;
    let Some(last) = rate.last else {
        return if options.step.is_some() {
            Err("--step wants a ramp: --rate FIRST..LAST".into())
        } else {
            Ok(Pace::Open { gaps, rates: vec![rate.first] })
        };
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let step = options.step.map_or((last - rate.first) / RAMP_STEPS, |step| step as f64);
    let mut rates = vec![rate.first];
    while let Some(next) = rates.last().map(|rate| rate + step).filter(|next| *next <= last * (1.0 + 1e-9)) {
        rates.push(next);
        if rates.len() > RAMP_STEPS_MAX {
            return Err(format!("a ramp of more than {RAMP_STEPS_MAX} steps"));
        }
    }
    Ok(Pace::Open { gaps, rates })
}

fn configuration(options: &Options, chosen: &Chosen, pace: &Pace, verify: bool, keys: u64) -> Configuration {
    let is_unix = options.server.contains('/');
    let (loop_model, rate, arrivals) = match pace {
        Pace::Closed { .. } => ("closed", None, None),
        Pace::Recorded { .. } => ("trace", None, Some("trace")),
        Pace::Open { gaps, rates } => {
            let name = if *gaps == Gaps::Constant { "constant" } else { "poisson" };
            (if rates.len() > 1 { "ramp" } else { "open" }, rates.first().copied(), Some(name))
        }
    };
    Configuration {
        command: std::env::args().collect(),
        server: options.server.clone(),
        dialect: options.dialect.name().to_string(),
        transport: if options.udp {
            "udp"
        } else if is_unix {
            "unix"
        } else {
            "tcp"
        }
        .to_string(),
        connections: options.connections.into(),
        pipeline: options.pipeline.into(),
        loop_model: loop_model.to_string(),
        rate,
        arrivals: arrivals.map(str::to_string),
        think_us: options.think.as_secs_f64() * 1e6,
        preset: chosen.preset.map(|preset| preset.name.to_string()),
        mix: chosen.mix.shares().clone(),
        keys,
        key_bytes: chosen.key_size.into(),
        access: chosen.pattern.to_string(),
        value_size: chosen.sizes.to_string(),
        ttl: chosen.ttls.to_string(),
        multiget: chosen.multiget.into(),
        verify: if verify { "full" } else { "off" }.to_string(),
        seed: options.seed,
        cpus: Vec::new(),
        warmup_seconds: options.warmup.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Cli;
    use clap::Parser;

    fn resolved(arguments: &[&str]) -> Result<Config, String> {
        resolve(&Cli::parse_from(["loadgen"].iter().chain(arguments)).run)
    }

    fn pace_of(arguments: &[&str]) -> Pace {
        resolved(arguments).unwrap().plan.run.unwrap().pace
    }

    #[test]
    fn the_default_is_a_closed_loop_of_gets_and_sets() {
        let config = resolved(&[]).unwrap();
        let run = config.plan.run.unwrap();
        assert_eq!(run.pace, Pace::Closed { think: Duration::ZERO });
        assert_eq!((run.mix.to_string(), config.plan.load), ("get:90%,set:10%".to_string(), 10_000));
        let multigets = resolved(&["--multiget", "50", "--get-ratio", "1"]).unwrap().plan.run.unwrap();
        assert_eq!((multigets.mix.to_string(), multigets.multiget), ("multiget:100%".to_string(), 50));
    }

    #[test]
    fn a_ramp_has_the_steps_asked_for() {
        let rates = |arguments: &[&str]| match pace_of(arguments) {
            Pace::Open { rates, .. } => rates,
            other => panic!("{other:?}"),
        };
        assert_eq!(rates(&["--rate", "5k"]), [5000.0]);
        assert_eq!(rates(&["--rate", "10k..30k", "--step", "10k"]), [10_000.0, 20_000.0, 30_000.0]);
        assert_eq!(rates(&["--rate", "10k..30k"]).len(), 21);
        assert!(resolved(&["--rate", "5k", "--step", "1k"]).is_err());
        assert!(resolved(&["--rate", "1..1m", "--step", "1"]).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused_in_a_line() {
        for wrong in [
            &["--keys", "1000", "--key-size", "2"][..],
            &["--quiet"],
            &["--udp", "--dialect", "binary"],
            &["--udp", "--value-size", "1000000"],
            &["--preset", "nobody"],
            &["--mix", "incr:1", "--keys", "1000", "--key-size", "3"],
            &["--trace", "/nowhere/trace.csv"],
        ] {
            let error = resolved(wrong).err().unwrap_or_else(|| panic!("{wrong:?}"));
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
