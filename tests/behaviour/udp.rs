//! Datagrams (PROTOCOL §8).
#![allow(clippy::disallowed_methods, reason = "real servers run in real time")]

use std::net::UdpSocket;
use std::time::Duration;

use ringcached::protocol::binary::request::write_raw;
use ringcached::protocol::binary::{Status, Tag, response};
use ringcached::protocol::udp::{Frame, reply};
use ringcached::terms::{CasUnique, Flags};

use crate::talk::{Failure, Talk};
use crate::transcript::Case;

/// How long an answer may take. One that is lost fails the test: loopback loses none while buffers have room.
const ANSWER_MAX: Duration = Duration::from_secs(20);

pub(crate) fn cases() -> Vec<Case> {
    const UDP: &[&str] = &["-U", "-1"];
    vec![
        Case::code_sockets("a request and its reply are a datagram each", UDP, one_datagram),
        Case::code_sockets("the replies to all requests of a datagram are one message", UDP, one_message),
        Case::code_sockets("a message of many datagrams has a common total", UDP, many_datagrams),
        Case::code_sockets("values of all sizes that fit", UDP, sizes),
        Case::code_sockets("what is no request is not answered", UDP, no_requests),
        Case::code_sockets("a reply that nobody wants is no datagram", UDP, silence),
        Case::code_sockets("a reply beyond the limit is an error", &["-U", "-1", "-o", "udp_reply_max=2000"], limit),
        Case::code_sockets("the limit is 64 KiB", UDP, default_limit),
        Case::code_sockets(
            "a reply of packets beyond the limit is a packet",
            &["-U", "-1", "-o", "udp_reply_max=2000", "-C"],
            limit_of_packets,
        ),
        Case::code_sockets("many requests at a time", UDP, many_at_a_time),
        Case::code_sockets("a datagram is no connection", UDP, no_connection),
    ]
}

struct Client {
    socket: UdpSocket,
    next_id: u16,
}

impl Client {
    fn new(talk: &Talk<'_>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(talk.driver.udp_address()).unwrap();
        socket.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        Self { socket, next_id: 77 }
    }

    /// Sends a request; its number.
    fn send(&mut self, payload: &[u8]) -> u16 {
        self.next_id = self.next_id.wrapping_add(1000);
        let mut datagram = Vec::new();
        Frame { request_id: self.next_id, sequence: 0, total: 1, payload }.write(&mut datagram);
        self.socket.send(&datagram).unwrap();
        self.next_id
    }

    /// Receives a message: its number and its datagrams' payloads, in order.
    fn receive(&mut self) -> Result<(u16, Vec<Vec<u8>>), Failure> {
        let mut payloads: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut buffer = vec![0; 65536];
            let count = self.socket.recv(&mut buffer).map_err(|error| Failure::Wrong(format!("no answer: {error}")))?;
            let frame = Frame::parse(&buffer[..count]).filter(|_| count <= 1400 && buffer[6..8] == [0, 0]);
            let frame = frame.ok_or_else(|| Failure::Wrong(format!("a datagram of {count} bytes")))?;
            if usize::from(frame.sequence) != payloads.len() || frame.total == 0 {
                return Err(Failure::Wrong(format!("{} of {}", frame.sequence, frame.total)));
            }
            payloads.push(frame.payload.to_vec());
            if payloads.len() == usize::from(frame.total) {
                return Ok((frame.request_id, payloads));
            }
        }
    }

    /// Sends a request and expects this reply to it.
    fn ask(&mut self, request: &[u8], expected: &[u8]) -> Result<(), Failure> {
        let id = self.send(request);
        let (answered, payloads) = self.receive()?;
        let found = payloads.concat();
        if answered == id && found == expected {
            return Ok(());
        }
        let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let (request, expected, found) = (show(request), show(expected), show(&found));
        Err(Failure::Wrong(format!("{id}: {request:?}: expected {expected:?}, received {answered}: {found:?}")))
    }
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    [format!("set {key} 0 0 {}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

fn one_datagram(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut client = Client::new(talk);
    client.ask(b"get a\r\n", b"END\r\n")?;
    client.ask(b"set a 5 0 3\r\nabc\r\n", b"STORED\r\n")?;
    client.ask(b"get a\n", b"VALUE a 5 3\r\nabc\r\nEND\r\n")?;
    client.ask(b"incr a 1\r\n", b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")?;
    client.ask(b"nonsense\r\n", b"ERROR\r\n")?;
    client.ask(b"delete a\r\n", b"DELETED\r\n")?;
    talk.ask("get a\\r\\n", "END\\r\\n")
}

fn one_message(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut client = Client::new(talk);
    client.ask(
        b"set a 0 0 1\r\n1\r\nincr a 1\r\nget a b\r\nget c\r\n",
        b"STORED\r\n2\r\nVALUE a 0 1\r\n2\r\nEND\r\nEND\r\n",
    )?;
    let keys: Vec<String> = (0..50).map(|number| format!("key{number}")).collect();
    let mut expected = Vec::new();
    for key in &keys {
        client.ask(&set(key, key.as_bytes()), b"STORED\r\n")?;
        expected.extend_from_slice(format!("VALUE {key} 0 {}\r\n{key}\r\n", key.len()).as_bytes());
    }
    expected.extend_from_slice(b"END\r\n");
    client.ask(format!("get {}\r\n", keys.join(" ")).as_bytes(), &expected)
}

fn many_datagrams(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut client = Client::new(talk);
    let value: Vec<u8> = (0..=255).cycle().take(5000).collect();
    client.ask(&set("a", &value), b"STORED\r\n")?;
    let id = client.send(b"get a\r\n");
    let message = [b"VALUE a 0 5000\r\n", &value[..], b"\r\nEND\r\n"].concat();
    let expected: Vec<Vec<u8>> = reply(id, &message).map(|frame| frame.payload.to_vec()).collect();
    let found = client.receive()?;
    if expected.len() == 4 && found == (id, expected) { Ok(()) } else { Err(Failure::Wrong(format!("{found:?}"))) }
}

fn sizes(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut client = Client::new(talk);
    for len in [0, 1, 1300, 1392, 8000, 16_383, 16_384, 60_000] {
        let value: Vec<u8> = (0..=255).rev().cycle().take(len).collect();
        client.ask(&set("a", &value), b"STORED\r\n")?;
        let expected = [format!("VALUE a 0 {len}\r\n").as_bytes(), &value, b"\r\nEND\r\n"].concat();
        client.ask(b"get a\r\n", &expected)?;
    }
    Ok(())
}

fn no_requests(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut client = Client::new(talk);
    let first_of_two = b"\0\x01\0\0\0\x02\0\0version\r\n".as_slice();
    for datagram in [b"".as_slice(), b"x", b"\0\x01\0\0\0\x01\0\0", first_of_two, b"\0\x01\0\0\0\0\0\0version\r\n"] {
        client.socket.send(datagram).unwrap();
        client.ask(b"get a\r\n", b"END\r\n")?;
    }
    for payload in [b"get a".as_slice(), b"set a 0 0 10\r\nabc", b"set a 0 0 3\r\n"] {
        client.send(payload);
        client.ask(b"get a\r\n", b"END\r\n")?;
    }
    Ok(())
}

fn silence(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut client = Client::new(talk);
    client.send(b"set a 0 0 1 noreply\r\n1\r\nincr a 5 noreply\r\n");
    client.ask(b"get a\r\n", b"VALUE a 0 1\r\n6\r\nEND\r\n")?;
    client.send(b"quit\r\n");
    client.ask(b"delete a\r\nquit\r\nget a\r\n", b"DELETED\r\n")
}

fn limit(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut client = Client::new(talk);
    // With the line before and END behind it 2000 bytes, and one more.
    client.ask(&set("a", &[b'x'; 1977]), b"STORED\r\n")?;
    client.ask(b"get a\r\n", &[b"VALUE a 0 1977\r\n", &[b'x'; 1977][..], b"\r\nEND\r\n"].concat())?;
    client.ask(&set("a", &[b'x'; 1978]), b"STORED\r\n")?;
    client.ask(b"get a\r\n", b"SERVER_ERROR reply too large for UDP\r\n")
}

fn limit_of_packets(talk: &mut Talk<'_>) -> Result<(), Failure> {
    const GETK: u8 = 0x0c;
    let mut client = Client::new(talk);
    let get = |keys: &[&str]| {
        let mut packets = Vec::new();
        for (opaque, key) in (1_u32..).zip(keys) {
            let tag = Tag { opcode: GETK, opaque: opaque.to_be_bytes() };
            write_raw(tag, 0, [b"", key.as_bytes(), b""], &mut packets);
        }
        packets
    };
    let tag = |opaque: u32| Tag { opcode: GETK, opaque: opaque.to_be_bytes() };
    let hit = |opaque, key: &str, value: &[u8]| {
        let mut packet = Vec::new();
        response::write_hit(&mut packet, tag(opaque), Flags(0), CasUnique(0), key.as_bytes(), value.len());
        [packet, value.to_vec()].concat()
    };
    let refused = |opaque| {
        let mut packet = Vec::new();
        response::write_error(&mut packet, tag(opaque), Status::TooLarge);
        packet
    };
    // A header, flags and a key come before the value.
    let (fits, does_not) = (vec![b'x'; 2000 - 24 - 4 - 1], vec![b'x'; 2000 - 24 - 4]);
    client.ask(&set("a", &fits), b"STORED\r\n")?;
    client.ask(&set("b", &does_not), b"STORED\r\n")?;
    client.ask(&get(&["a"]), &hit(1, "a", &fits))?;
    client.ask(&get(&["b"]), &refused(1))?;
    client.ask(&get(&["a", "b"]), &refused(2))?;
    client.ask(b"get a b\r\n", b"SERVER_ERROR reply too large for UDP\r\n")
}

fn default_limit(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut client = Client::new(talk);
    client.ask(&set("a", &vec![b'x'; 60_000]), b"STORED\r\n")?;
    let twice = [b"VALUE a 0 60000\r\n".as_slice(), &vec![b'x'; 60_000][..], b"\r\n"].concat();
    client.ask(b"get a b\r\n", &[&twice[..], b"END\r\n"].concat())?;
    for request in [b"get a a\r\n".to_vec(), [b"get".as_slice(), &b" a".repeat(20_000), b"\r\n"].concat()] {
        client.ask(&request, b"SERVER_ERROR reply too large for UDP\r\n")?;
    }
    client.ask(b"get b\r\n", b"END\r\n")
}

fn many_at_a_time(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut clients: Vec<Client> = (0..20).map(|_| Client::new(talk)).collect();
    for round in 0..20 {
        let mut asked = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            let request = set(&format!("k{number}"), format!("{round}").as_bytes());
            asked.push([client.send(&request), client.send(b"get nothing\r\n")]);
        }
        for (client, asked) in clients.iter_mut().zip(asked) {
            let mut answered = [client.receive()?, client.receive()?];
            answered.sort_by_key(|(id, _)| *id != asked[0]);
            let expected = [(asked[0], vec![b"STORED\r\n".to_vec()]), (asked[1], vec![b"END\r\n".to_vec()])];
            if answered != expected {
                return Err(Failure::Wrong(format!("{answered:?}")));
            }
        }
    }
    for number in 0..20 {
        talk.ask(&format!("get k{number}\\r\\n"), &format!("VALUE k{number} 0 2\\r\\n19\\r\\nEND\\r\\n"))?;
    }
    Ok(())
}

fn no_connection(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let before = talk.statistics("")?;
    let mut client = Client::new(talk);
    for _ in 0..10 {
        client.ask(b"get a\r\n", b"END\r\n")?;
    }
    client.socket.send(b"x").unwrap();
    client.ask(b"get a\r\n", b"END\r\n")?;
    let after = talk.statistics("")?;
    for (name, more) in
        [("total_connections", 0), ("curr_connections", 0), ("udp_requests", 11), ("udp_ignored", 1), ("cmd_get", 11)]
    {
        let number = |map: &std::collections::BTreeMap<String, String>| map[name].parse::<u64>().unwrap();
        if number(&after) != number(&before) + more {
            let (before, after) = (&before[name], &after[name]);
            return Err(Failure::Wrong(format!("{name}: {before} became {after}, expected {more} more")));
        }
    }
    let conns = talk.statistics(" conns")?;
    let udp = format!("udp:{}", talk.driver.udp_address());
    if conns.values().any(|value| *value == udp) { Ok(()) } else { Err(Failure::Wrong(format!("{conns:?}"))) }
}
