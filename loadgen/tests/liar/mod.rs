//! A small server that lies in a way of one's choice.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What a server does wrong, from its 500th get on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lie {
    None,
    WrongByte,
    WrongKey,
    SwappedReplies,
    ExtraReply,
    ClosesMidway,
    NeverAnswers,
    ServerError,
    ForgetsHalf,
    /// One reply is left out.
    LosesOne,
    /// The value of another key, in its right form.
    OtherValue,
    /// Shorter than it was stored.
    Truncates,
    Nonsense,
    ClientError,
    /// Says nothing for a while, once.
    Pauses,
}

const HONEST_GETS: u64 = 500;
/// How long a server pauses.
pub(crate) const PAUSE: Duration = Duration::from_millis(400);

pub(crate) fn serve(lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gets = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let gets = Arc::clone(&gets);
            thread::spawn(move || drop(converse(&stream.unwrap(), lie, &gets)));
        }
    });
    address
}

/// One connection; ends with any error. Every connection has items of its own: a key not stored here gets its value
/// from nowhere, so the tests use one connection.
fn converse(stream: &TcpStream, lie: Lie, gets: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    let mut output = stream;
    let mut items: HashMap<String, Vec<u8>> = HashMap::new();
    let mut held_back = None;
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<_> = line.split_whitespace().collect();
        if words[0] == "set" {
            let mut value = vec![0; words[4].parse::<usize>().unwrap() + 2];
            input.read_exact(&mut value)?;
            items.insert(words[1].to_string(), value);
            output.write_all(b"STORED\r\n")?;
            continue;
        }
        let number = gets.fetch_add(1, Ordering::Relaxed);
        let lies = number >= HONEST_GETS;
        let mut reply = Vec::new();
        for key in &words[1..] {
            let Some(value) = items.get(*key) else { continue };
            if lie == Lie::ForgetsHalf && number.is_multiple_of(2) {
                continue;
            }
            let other = items.iter().find(|(other, stored)| *other != key && *stored != value);
            let value = match other {
                Some((_, other)) if lies && lie == Lie::OtherValue => other,
                _ => value,
            };
            let cut = if lies && lie == Lie::Truncates { 10 } else { value.len() - 2 };
            let shown = if lies && lie == Lie::WrongKey { "wrong" } else { key };
            reply.extend_from_slice(format!("VALUE {shown} 0 {cut}\r\n").as_bytes());
            reply.extend_from_slice(&value[..cut]);
            reply.extend_from_slice(b"\r\n");
        }
        reply.extend_from_slice(b"END\r\n");
        match lie {
            Lie::LosesOne if number == HONEST_GETS => continue,
            Lie::Nonsense if lies => reply = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Lie::ClientError if lies => reply = b"CLIENT_ERROR bad command line format\r\n".to_vec(),
            Lie::Pauses if number == HONEST_GETS => thread::sleep(PAUSE),
            Lie::WrongByte if lies => reply[40] ^= 0x20,
            Lie::ExtraReply if number == HONEST_GETS => reply.extend_from_slice(b"END\r\n"),
            Lie::ServerError if lies => reply = b"SERVER_ERROR out of memory\r\n".to_vec(),
            Lie::ClosesMidway if lies => {
                output.write_all(&reply[..reply.len() / 2])?;
                return Ok(());
            }
            Lie::NeverAnswers if lies => return input.read_to_end(&mut reply).map(drop),
            Lie::SwappedReplies if number == HONEST_GETS => {
                held_back = Some(reply);
                continue;
            }
            _ => {}
        }
        output.write_all(&reply)?;
        if let Some(reply) = held_back.take() {
            output.write_all(&reply)?;
        }
    }
}
