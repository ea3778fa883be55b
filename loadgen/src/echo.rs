//! `loadgen echo`: a server that looks at nothing but line ends. What it reaches is what the machine, the kernel and the
//! driver allow; no server on the same driver can do better.

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use clap::Args;
use ringcached_ring::{Event, Options as RingOptions, Ring, Wait};

/// No more replies than fit this go out in one piece.
const BATCH_LEN_MAX: usize = 1 << 20;
/// Nobody waits for anything here but the next request.
const WAIT: Duration = Duration::from_secs(3600);

/// Answers every line with one canned reply, on one thread.
///
/// Measure it with `loadgen --verify off --get-ratio 1 --no-load`: it holds no items, and all its values are the same.
#[derive(Debug, Args)]
pub(crate) struct EchoOptions {
    /// Where to listen, HOST:PORT; with port 0 the one chosen is printed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:11311")]
    listen: String,
    /// Length of the value in every reply, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    value_size: u32,
    /// Length of the key in every reply, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=250))]
    key_size: u16,
    /// The CPU to run on; any by default
    #[arg(long, value_name = "CPU")]
    cpu: Option<usize>,
}

/// Why it could not serve; one line.
#[derive(Debug)]
pub(crate) struct EchoError(String);

impl fmt::Display for EchoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

struct Connection {
    /// Lines that came and are not answered yet.
    due: usize,
    is_listed: bool,
}

/// Serves until it is killed.
pub(crate) fn echo(options: &EchoOptions) -> Result<(), EchoError> {
    if let Some(cpu) = options.cpu {
        let cpus = core_affinity::get_core_ids().unwrap_or_default();
        let cpu = cpus.into_iter().find(|id| id.id == cpu);
        if !cpu.is_some_and(core_affinity::set_for_current) {
            return Err(EchoError("that CPU is not among those this process may use".into()));
        }
    }
    let reply = reply(options);
    let listener =
        bind(&options.listen).map_err(|error| EchoError(format!("cannot listen on {}: {error}", options.listen)))?;
    let address = listener.local_addr().map_err(|error| EchoError(error.to_string()))?;
    // Whoever started it reads where it listens; if nobody does, it serves all the same.
    let _ = writeln!(io::stdout(), "listening on {address}").and_then(|()| io::stdout().flush());
    serve(listener, &reply).map_err(|error| EchoError(error.to_string()))
}

fn bind(address: &str) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    TcpListener::bind(addresses.as_slice())
}

fn reply(options: &EchoOptions) -> Vec<u8> {
    let mut reply = b"VALUE ".to_vec();
    reply.resize(reply.len() + usize::from(options.key_size), b'k');
    reply.extend_from_slice(format!(" 0 {}\r\n", options.value_size).as_bytes());
    reply.resize(reply.len() + options.value_size as usize, b'v');
    reply.extend_from_slice(b"\r\nEND\r\n");
    reply
}

fn serve(listener: TcpListener, reply: &[u8]) -> io::Result<()> {
    let mut ring = Ring::new(&RingOptions::default())?;
    ring.listen(listener.into())?;
    let mut connections: Vec<Connection> = Vec::new();
    let mut listed = Vec::new();
    loop {
        ring.turn(Wait::UpTo(WAIT))?;
        while let Some(event) = ring.next_event() {
            let (id, lines) = match event {
                Event::Accepted { socket, .. } => {
                    let id = ring.add(socket)?;
                    connections
                        .resize_with(connections.len().max(id.index() + 1), || Connection { due: 0, is_listed: false });
                    connections[id.index()] = Connection { due: 0, is_listed: false };
                    ring.read(id);
                    continue;
                }
                Event::Received(received) => {
                    let lines = memchr::memchr_iter(b'\n', ring.bytes(&received)).count();
                    let id = received.id();
                    ring.release(received);
                    (id, lines)
                }
                Event::Sent { id } => (id, 0),
                Event::Ended { id, .. } | Event::SendFailed { id, .. } => {
                    ring.close(id);
                    continue;
                }
                _ => continue,
            };
            let connection = &mut connections[id.index()];
            connection.due += lines;
            if connection.due > 0 && !connection.is_listed {
                connection.is_listed = true;
                listed.push(id);
            }
        }
        for id in listed.drain(..) {
            let connection = &mut connections[id.index()];
            connection.is_listed = false;
            if ring.is_sending(id) {
                continue;
            }
            let mut out = ring.take_buffer();
            while connection.due > 0 && out.len() < BATCH_LEN_MAX {
                out.extend_from_slice(reply);
                connection.due -= 1;
            }
            ring.send(id, out);
        }
    }
}
