//! What a raw connection runs over: TCP, a socket in the file system, or TLS. Reads and writes give up after a moment
//! with `WouldBlock`, so that whoever waits can do both.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection};

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
}

/// The client's end of TLS.
pub(crate) struct Tls {
    socket: TcpStream,
    pub(crate) machine: ClientConnection,
}

/// How much is encrypted at a time.
const PIECE: usize = 16 << 10;

impl Stream {
    pub(crate) fn set_timeout(&self, tick: Duration) {
        let socket = match self {
            Self::Tcp(socket) => socket,
            Self::Tls(tls) => &tls.socket,
            Self::Unix(socket) => {
                socket.set_read_timeout(Some(tick)).unwrap();
                socket.set_write_timeout(Some(tick)).unwrap();
                return;
            }
        };
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(tick)).unwrap();
        socket.set_write_timeout(Some(tick)).unwrap();
    }

    /// Speaks TLS over a connection from now on.
    pub(crate) fn tls(socket: TcpStream, config: &Arc<ClientConfig>) -> Self {
        let mut machine = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
        machine.set_buffer_limit(None);
        Self::Tls(Box::new(Tls { socket, machine }))
    }

    /// Says that no more will be sent; to a server that has gone, nobody.
    pub(crate) fn shutdown_write(&mut self) {
        match self {
            Self::Tcp(socket) => drop(socket.shutdown(Shutdown::Write)),
            Self::Unix(socket) => drop(socket.shutdown(Shutdown::Write)),
            Self::Tls(tls) => {
                // Before the end of the handshake the word would stand before what was given to be sent.
                while tls.machine.is_handshaking() {
                    match tls.receive() {
                        Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                        _ => {}
                    }
                }
                tls.machine.send_close_notify();
                while let Err(error) = tls.flush()
                    && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                {}
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(tls) => tls.flush(),
            _ => Ok(()),
        }
    }
}

impl Tls {
    fn flush(&mut self) -> io::Result<()> {
        while self.machine.wants_write() {
            self.machine.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Takes nothing while something taken earlier has not gone out.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let count = self.machine.writer().write(&bytes[..bytes.len().min(PIECE)])?;
        match self.flush() {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(error),
            _ => Ok(count),
        }
    }

    /// An end without a word is an error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.machine.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(ErrorKind::ConnectionAborted.into());
                }
                other => return other,
            }
            self.receive()?;
        }
    }

    /// Takes in what the socket has. The handshake goes on, or the server is told what is wrong.
    fn receive(&mut self) -> io::Result<()> {
        self.machine.read_tls(&mut self.socket)?;
        let outcome = self.machine.process_new_packets();
        let _ = self.flush();
        outcome.map(drop).map_err(|error| io::Error::new(ErrorKind::ConnectionReset, error))
    }
}
