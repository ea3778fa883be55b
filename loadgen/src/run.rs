//! The course of a run over all workers: connect, load, warm up, measure, drain.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{SysconfVar, sysconf};

use crate::options::Options;
use crate::report::{Report, Tally};
use crate::worker::{Message, Shared, Worker};
use crate::workload::{Keyspace, Workload};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the main thread looks whether it is time for something.
const LOOK: Duration = Duration::from_millis(50);

/// Why a run could not take place; one line.
#[derive(Debug)]
pub(crate) struct RunError(String);

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

pub(crate) fn run(options: &Options) -> Result<Report, RunError> {
    let cpus = choose_cpus(options)?;
    let keyspace = Keyspace::new(options.keys, options.key_size.into(), options.value_size as usize)
        .ok_or_else(|| RunError(format!("{} keys of {} bytes do not exist", options.keys, options.key_size)))?;
    if (options.connections as usize) < cpus.len() {
        return Err(RunError(format!("{} connections are too few for {} threads", options.connections, cpus.len())));
    }
    if let Some(pid) = options.server_pid {
        process_cpu(pid)?;
    }
    let shares = connect(options, cpus.len())?;
    let shared = Arc::new(Shared {
        keyspace,
        pipeline: options.pipeline as usize,
        multiget: options.multiget,
        get_ratio: options.get_ratio,
        seed: options.seed,
        warmup: options.warmup,
        duration: options.duration,
        progress: options.progress,
        start: OnceLock::new(),
        stop: AtomicBool::new(false),
    });
    stop_on_signals(&shared)?;
    let messages = start_workers(&shared, &cpus, shares, options.no_load);
    let (tally, server_cpu) = follow(options, &shared, &messages, cpus.len())?;
    let cpu_list: Vec<_> = cpus.iter().map(|cpu| cpu.id.to_string()).collect();
    let setting = format!(
        "{}, {} connections x {} in flight, {} keys of {} B, values of {} B, {} gets of {}, CPU {}",
        options.server,
        options.connections,
        options.pipeline,
        options.keys,
        options.key_size,
        options.value_size,
        options.get_ratio,
        options.multiget,
        cpu_list.join(",")
    );
    Ok(Report { setting, tally, server_cpu })
}

/// Follows the workers from the load phase to their end.
fn follow(
    options: &Options,
    shared: &Shared,
    messages: &Receiver<Message>,
    workers: usize,
) -> Result<(Tally, Option<Duration>), RunError> {
    let (mut loaded, mut done) = (0, 0);
    let mut total = Tally::new();
    let mut latest: Vec<Option<Box<Tally>>> = (0..workers).map(|_| None).collect();
    let mut shown: Option<Tally> = None;
    let mut cpu = ServerCpu { pid: options.server_pid, begin: None, end: None };
    while done < workers {
        match messages.recv_timeout(LOOK) {
            Ok(Message::Loaded) => {
                loaded += 1;
                if loaded == workers {
                    let _ = shared.start.set(Instant::now());
                }
            }
            Ok(Message::Progress { worker, tally }) => {
                latest[worker] = Some(tally);
                if latest.iter().all(Option::is_some) {
                    let mut merged = Tally::new();
                    latest.iter_mut().filter_map(Option::take).for_each(|tally| merged.merge(&tally));
                    // Whoever reads the progress may leave; the run goes on.
                    let _ = writeln!(io::stderr(), "{}", merged.progress_line(shown.as_ref()));
                    shown = Some(merged);
                }
            }
            Ok(Message::Done { tally }) => {
                total.merge(&tally);
                done += 1;
            }
            Ok(Message::Failed(error)) => return Err(RunError(format!("a worker failed: {error}"))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(RunError("a worker died".into())),
        }
        cpu.look(options, shared);
    }
    Ok((total, cpu.used()))
}

/// The server's CPU time at the begin and the end of what is measured.
struct ServerCpu {
    pid: Option<u32>,
    begin: Option<Duration>,
    end: Option<Duration>,
}

impl ServerCpu {
    /// Reads it when the time has come; sleeps the rest of the time to it if that is near.
    fn look(&mut self, options: &Options, shared: &Shared) {
        let (Some(pid), Some(start)) = (self.pid, shared.start.get()) else { return };
        let is_stopped = shared.stop.load(Ordering::Relaxed);
        let due = *start + options.warmup;
        if self.begin.is_none() && sleep_if_near(due) {
            self.begin = process_cpu(pid).ok();
            // A server that is gone is what the report is about, not a reason for none.
            self.pid = self.begin.and(self.pid);
        }
        let due = due + options.duration;
        if self.begin.is_some() && self.end.is_none() && (is_stopped || sleep_if_near(due)) {
            self.end = process_cpu(pid).ok();
        }
    }

    fn used(&self) -> Option<Duration> {
        self.end?.checked_sub(self.begin?)
    }
}

fn sleep_if_near(due: Instant) -> bool {
    let left = due.saturating_duration_since(Instant::now());
    let is_near = left <= LOOK * 2;
    if is_near {
        thread::sleep(left);
    }
    is_near
}

/// User and system time of all threads of a process.
fn process_cpu(pid: u32) -> Result<Duration, RunError> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| RunError(format!("cannot read {path}: {error}")))?;
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u32::try_from(ticks).ok());
    // The second field is a name in parentheses that may hold anything; after it, the 12th and 13th are the times.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match (ticks.as_slice(), ticks_per_second) {
        ([user, system], Some(per_second)) => Ok(Duration::from_secs(user + system) / per_second),
        _ => Err(RunError(format!("{path} is not what was expected"))),
    }
}

fn choose_cpus(options: &Options) -> Result<Vec<CoreId>, RunError> {
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    if options.cpus.is_empty() {
        let first = allowed.len().checked_sub(options.threads.into());
        let first = first.ok_or_else(|| {
            RunError(format!("{} threads want a CPU each, {} are allowed", options.threads, allowed.len()))
        })?;
        return Ok(allowed[first..].to_vec());
    }
    let choose = |id: &usize| {
        let found = allowed.iter().find(|cpu| cpu.id == *id);
        found.copied().ok_or_else(|| RunError(format!("CPU {id} is not among those this process may use")))
    };
    options.cpus.iter().map(choose).collect()
}

/// Opens all connections, shared out evenly.
fn connect(options: &Options, workers: usize) -> Result<Vec<Vec<OwnedFd>>, RunError> {
    let fail = |error: io::Error| RunError(format!("cannot connect to {}: {error}", options.server));
    let address = if options.server.contains('/') {
        None
    } else {
        let mut addresses = options.server.to_socket_addrs().map_err(fail)?;
        Some(addresses.next().ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?)
    };
    let mut shares: Vec<Vec<OwnedFd>> = (0..workers).map(|_| Vec::new()).collect();
    for number in 0..options.connections as usize {
        let socket = match &address {
            Some(address) => connect_tcp(address),
            None => UnixStream::connect(&options.server).map(OwnedFd::from),
        };
        shares[number % workers].push(socket.map_err(fail)?);
    }
    Ok(shares)
}

fn connect_tcp(address: &SocketAddr) -> io::Result<OwnedFd> {
    let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    Ok(stream.into())
}

/// The first Ctrl-C ends the measurement, the second the process.
fn stop_on_signals(shared: &Arc<Shared>) -> Result<(), RunError> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Before any other thread is started, since those inherit it.
    signals.thread_block().map_err(|error| RunError(format!("cannot block signals: {error}")))?;
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        while signals.wait().is_ok() {
            if shared.stop.swap(true, Ordering::Relaxed) {
                process::exit(130);
            }
        }
    });
    Ok(())
}

fn start_workers(shared: &Arc<Shared>, cpus: &[CoreId], shares: Vec<Vec<OwnedFd>>, no_load: bool) -> Receiver<Message> {
    let (sender, receiver) = mpsc::channel();
    let count = cpus.len() as u64;
    for (number, (cpu, sockets)) in (0_u64..).zip(cpus.iter().copied().zip(shares)) {
        let (shared, sender) = (Arc::clone(shared), sender.clone());
        thread::spawn(move || {
            let keys = u64::from(shared.keyspace.count());
            let share = |number: u64| u32::try_from(keys * number / count).unwrap_or(u32::MAX);
            let end = if no_load { share(number) } else { share(number + 1) };
            let workload = Workload::Load { next: share(number), end };
            if !core_affinity::set_for_current(cpu) {
                let _ = sender.send(Message::Failed(io::Error::other(format!("cannot pin to CPU {}", cpu.id))));
                return;
            }
            // The receiver is gone only when the run has failed already.
            let mut tell = |message| drop(sender.send(message));
            let outcome = Worker::new(&shared, sockets, workload)
                .and_then(|worker| worker.run(usize::try_from(number).unwrap_or(0), &mut tell));
            if let Err(error) = outcome {
                tell(Message::Failed(error));
            }
        });
    }
    receiver
}
