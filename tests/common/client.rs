//! A raw connection to a server: bytes out, bytes in, and what the end looked like.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::PATIENCE;
use super::stream::Stream;

/// A wait this short turns a blocked write into a look for replies.
const TICK: Duration = Duration::from_millis(20);

/// What one look at the connection brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Bytes, now in the buffer.
    Bytes,
    /// Nothing within the time given.
    Silence,
    /// The server closed the connection in good order.
    Closed,
    /// The connection was reset.
    Reset,
}

/// A connection with a buffer of what was received and not yet taken.
pub(crate) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(Stream::Tcp(Self::tcp(address)))
    }

    /// Over a socket in the file system.
    pub(crate) fn connect_unix(path: &Path) -> Self {
        Self::over(Stream::Unix(UnixStream::connect(path).unwrap()))
    }

    /// Speaking TLS; the handshake takes place when something is sent or received.
    pub(crate) fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        Self::over(Stream::tls(Self::tcp(address), config))
    }

    fn over(stream: Stream) -> Self {
        stream.set_timeout(TICK);
        Self { stream, buffer: Vec::new() }
    }

    /// What the connection runs over.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    fn tcp(address: SocketAddr) -> TcpStream {
        let started = Instant::now();
        loop {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return stream,
                Err(error) => assert!(started.elapsed() < PATIENCE, "cannot connect to {address}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends all of `bytes`, taking in replies where the server waits for that. Bytes for a server that has closed
    /// are dropped: the end shows when reading.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let started = Instant::now();
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_timeout(error.kind()) => drop(self.look(Duration::from_millis(1))),
                Err(error) if is_reset(error.kind()) => return,
                Err(error) => panic!("cannot send: {error}"),
            }
            assert!(started.elapsed() < PATIENCE, "the server does not take {} more bytes", rest.len());
        }
        while let Err(error) = self.stream.flush() {
            if is_reset(error.kind()) {
                return;
            }
            assert!(is_timeout(error.kind()), "cannot send: {error}");
            assert!(started.elapsed() < PATIENCE, "the server does not take the last bytes");
            let _ = self.look(Duration::from_millis(1));
        }
    }

    /// Sends what fits without reading and within `limit`; tells how much.
    pub(crate) fn send_without_reading(&mut self, bytes: &[u8], limit: Duration) -> usize {
        let started = Instant::now();
        let mut sent = 0;
        while sent < bytes.len() && started.elapsed() < limit {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if is_timeout(error.kind()) => {}
                Err(error) => panic!("cannot send: {error}"),
            }
        }
        sent
    }

    /// Waits for bytes or an end.
    pub(crate) fn look(&mut self, limit: Duration) -> Event {
        let started = Instant::now();
        let mut chunk = vec![0; 1 << 16];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Event::Closed,
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    return Event::Bytes;
                }
                Err(error) if is_timeout(error.kind()) && started.elapsed() >= limit => return Event::Silence,
                Err(error) if is_timeout(error.kind()) => {}
                Err(error) if is_reset(error.kind()) => return Event::Reset,
                Err(error) => panic!("cannot receive: {error}"),
            }
        }
    }

    /// What was received and not yet taken.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Receives up to and including the first `mark`.
    pub(crate) fn read_through(&mut self, mark: &[u8]) -> Vec<u8> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.buffer[looked..].windows(mark.len()).position(|window| window == mark) {
                return self.buffer.drain(..looked + at + mark.len()).collect();
            }
            looked = self.buffer.len().saturating_sub(mark.len() - 1);
            let event = self.look(PATIENCE);
            assert_eq!(event, Event::Bytes, "waiting for {:?}", String::from_utf8_lossy(mark));
        }
    }

    /// Sends a request and asserts the whole reply.
    pub(crate) fn ask(&mut self, request: &str, reply: &str) {
        self.send(request.as_bytes());
        while self.buffer.len() < reply.len() {
            let event = self.look(PATIENCE);
            let so_far = String::from_utf8_lossy(&self.buffer);
            assert_eq!(event, Event::Bytes, "asked {request:?}, waiting for {reply:?}, received {so_far:?}");
        }
        let received: Vec<u8> = self.buffer.drain(..reply.len()).collect();
        assert_eq!(String::from_utf8_lossy(&received), reply, "asked {request:?}");
    }

    /// Receives everything until the server closes; a reset fails.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.look(PATIENCE) {
                Event::Bytes => {}
                Event::Closed => return std::mem::take(&mut self.buffer),
                other => panic!("{other:?} instead of an orderly end"),
            }
        }
    }

    /// Says that no more requests will come, unless the server has closed already.
    pub(crate) fn half_close_or_gone(&mut self) {
        self.stream.shutdown_write();
    }

    /// Says that no more requests will come.
    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown_write();
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}
