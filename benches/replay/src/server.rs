//! A cache server as a child process, and the replay of a trace against it.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::sim::Outcome;
use crate::sizes::KeyInfo;
use crate::workload::Trace;

/// Keys asked for by one get.
const BATCH: usize = 64;
/// How long a server may take to start, and to answer.
const START_MAX: Duration = Duration::from_secs(10);
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A running server. It ends with this value.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a server that takes memcached's options, with one thread and this much memory, on a free port.
    pub(crate) fn start(program: &Path, memory_mib: usize) -> io::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = Command::new(program);
        command.args(["-l", "127.0.0.1", "-t", "1", "-U", "0"]);
        command.args(["-p", &port.to_string(), "-m", &memory_mib.to_string()]);
        if std::fs::metadata("/proc/self")?.uid() == 0 {
            // memcached does not run as root unless it is told to.
            command.args(["-u", "root"]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut server = Self { child, port };
        let started = Instant::now();
        while server.connect().is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("{} ended at once: {status}", program.display())));
            }
            if started.elapsed() > START_MAX {
                return Err(io::Error::other(format!("{} does not listen on port {port}", program.display())));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(stream)
    }

    /// Plays a whole trace: gets of many keys at once, then sets of what was missing. No key is asked for twice in a
    /// batch, so that a request finds what an earlier one stored. With times to live it keeps the trace's pace; the
    /// second value is by how much it came late at the worst.
    pub(crate) fn replay(&self, trace: &Trace) -> io::Result<(Outcome, Duration)> {
        let mut client = Client::new(self.connect()?, trace);
        let mut outcome = Outcome::default();
        let mut batch = HashSet::with_capacity(BATCH);
        let started = Instant::now();
        let mut late = Duration::ZERO;
        let mut position = 0;
        while position < trace.requests.len() {
            let from = position;
            batch.clear();
            while position < trace.requests.len() && batch.len() < BATCH && batch.insert(trace.requests[position]) {
                position += 1;
            }
            if trace.has_ttl {
                let due = Duration::from_secs_f64(from as f64 / f64::from(trace.requests_per_s));
                let now = started.elapsed();
                thread::sleep(due.saturating_sub(now));
                late = late.max(now.saturating_sub(due));
            }
            let missed = client.get(&trace.requests[from..position])?;
            let counted = position.saturating_sub(from.max(trace.warm_up));
            if counted > 0 {
                outcome.requests += counted as u64;
                outcome.misses += missed.iter().filter(|at| from + **at >= trace.warm_up).count() as u64;
            }
        }
        Ok((outcome, late))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to be done about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client<'a> {
    input: BufReader<TcpStream>,
    output: TcpStream,
    trace: &'a Trace,
    /// Sets of what the last batch missed, and the get of this one.
    request: Vec<u8>,
    line: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> Client<'a> {
    fn new(stream: TcpStream, trace: &'a Trace) -> Self {
        let output = stream.try_clone().expect("a socket can be duplicated");
        let input = BufReader::with_capacity(1 << 18, stream);
        Self { input, output, trace, request: Vec::new(), line: Vec::new(), value: Vec::new() }
    }

    /// Asks for these keys, and stores those that are missing together with the next get. Returns which were missing.
    fn get(&mut self, keys: &[u32]) -> io::Result<Vec<usize>> {
        self.request.extend_from_slice(b"get");
        for &key in keys {
            let width = usize::from(self.info(key).key_len);
            write!(self.request, " {key:0width$}")?;
        }
        self.request.extend_from_slice(b"\r\n");
        self.output.write_all(&self.request)?;
        self.request.clear();
        let mut missed = Vec::new();
        let mut at = 0;
        while let Some((key, len)) = self.next_value()? {
            while at < keys.len() && keys[at] != key {
                missed.push(at);
                at += 1;
            }
            if at == keys.len() || self.info(key).value_len as usize != len {
                return Err(io::Error::other(format!("key {key} with {len} bytes was not asked for")));
            }
            at += 1;
        }
        missed.extend(at..keys.len());
        for &at in &missed {
            self.set(keys[at])?;
        }
        Ok(missed)
    }

    fn set(&mut self, key: u32) -> io::Result<()> {
        let KeyInfo { key_len, value_len, ttl_s } = self.info(key);
        let width = usize::from(key_len);
        write!(self.request, "set {key:0width$} 0 {ttl_s} {value_len} noreply\r\n")?;
        self.request.resize(self.request.len() + value_len as usize, b'v');
        self.request.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn info(&self, key: u32) -> KeyInfo {
        self.trace.keys[key as usize]
    }

    /// The next value of a reply: its key and length; `None` at the end.
    fn next_value(&mut self) -> io::Result<Option<(u32, usize)>> {
        loop {
            self.line.clear();
            if self.input.read_until(b'\n', &mut self.line)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let line = String::from_utf8_lossy(&self.line);
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                ["END"] => return Ok(None),
                ["VALUE", key, _, len] => {
                    let (Ok(key), Ok(len)) = (key.parse(), len.parse::<usize>()) else {
                        return Err(io::Error::other(format!("not a reply: {line}")));
                    };
                    self.value.resize(len + 2, 0);
                    self.input.read_exact(&mut self.value)?;
                    return Ok(Some((key, len)));
                }
                // A set that was refused: the item is missing, which the next get of it counts.
                ["SERVER_ERROR", ..] => {}
                _ => return Err(io::Error::other(format!("not a reply: {line}"))),
            }
        }
    }
}
