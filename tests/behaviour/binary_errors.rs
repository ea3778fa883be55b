//! The binary protocol: packets that are not executed, and what becomes of the connection (PROTOCOL §7).

use ringcached::protocol::binary::response::{Parsed, parse};

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("many quiet gets over all cores come in order", &[], many_quiet_gets));
    cases.push(Case::code("every statistic of the text protocol is there", &[], statistics));
    cases
}

const TRANSCRIPT: &str = r"
# an unknown opcode is stepped over
b> 0x1b extras=\0\0\0\x01
b> 0x30 key=key value=value opaque=3
b> 0xff opaque=4
b> noop
b< 0x1b unknown
b< 0x30 unknown opaque=3
b< 0xff unknown opaque=4
b< noop ok

# SASL without authentication is unknown
b> sasllist
b> saslauth key=PLAIN value=\0a\0b
b> saslstep key=PLAIN value=x
b> noop
b< sasllist unknown
b< saslauth unknown
b< saslstep unknown
b< noop ok

# extras where there may be none close the connection
b> get extras=\0\0\0\0 key=a opaque=2
b> noop
b< get invalid opaque=2
closed

# no key where there must be one
b> setq opaque=3 value=x
b> noop
b< setq invalid opaque=3
closed

# a value where there may be none
b> delete key=a value=x
b> noop
b< delete invalid
closed

# too few extras
b> increment extras=\0\0\0\0 key=a
b> noop
b< increment invalid
closed

# a key where there may be none
b> noop key=a
b> noop
b< noop invalid
closed

# an expiry of flush has four bytes
b> flush extras=\0\0
b< flush invalid
closed

# a key too long
b> get key={k*251}
b> noop
b< get invalid
closed

# lengths that do not add up
b> noop
>| \x80\x00\x00\x05\0\0\0\0\0\0\0\x04abcd\0\0\0\0\0\0\0\0wxyzwxyz
b< noop ok
b< get unknown opaque=1633837924
closed

# a body beyond a gibibyte
>| \x80\x01\x00\x01\x08\0\0\0\x40\0\0\x01{\0*32}
b< set invalid
closed

# a packet of another kind closes without a word
b> noop
>| \x81\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0
b< noop ok
closed

# text behind packets closes without a word
b> noop
> get a b c d e f g h i j k l m n
b< noop ok
closed

# a value too large leaves the connection in step, and takes the old one with it
b> set key=a value=x
b> set key=a value={v*1048577} opaque=1
b> get key=a
b> set key=a value=x
b> add key=a value={v*1048577} opaque=2
b> replace key=a value={v*1048577} opaque=3
b> appendq key=a value={v*1048577} opaque=4
b> get key=a
b< set ok cas={*}
b< set too-large opaque=1
b< get not-found
b< set ok cas={*}
b< add too-large opaque=2
b< replace too-large opaque=3
b< appendq too-large opaque=4
b< get ok flags=0 value=x cas={*}

# a value that grows too large stays as it was
b> set key=a value={v*1048000}
b> append key=a value={v*1000}
b> prepend key=a value={v*20000}
b> append key=a value={v*100}
b< set ok cas={*}
b< append not-stored
b< prepend not-stored
b< append ok cas={*}

# half a packet is forgotten at the end
b> noop
>| \x80\x0a\0\0
half-close
b< noop ok
closed

# packets before the end of input are answered
b> setq key=a value=x
b> get key=a
half-close
b< get ok flags=0 value=x cas={*}
closed
";

/// A pipeline that a client library makes of a request for many keys.
fn many_quiet_gets(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut requests = String::new();
    let mut replies = String::new();
    for number in 0..300 {
        requests += &crate::packets::request(&format!("setq key=key{number} flags={number} value=v{number}"));
    }
    for round in 0..3 {
        for number in 0..400 {
            let key = (number * 7) % 400;
            let opaque = round * 1000 + number;
            requests += &crate::packets::request(&format!("getkq key=key{key} opaque={opaque}"));
            if key < 300 {
                let line = format!("getkq ok flags={key} key=key{key} value=v{key} cas={{*}} opaque={opaque}");
                replies += &crate::packets::response(&line);
            }
        }
        requests += &crate::packets::request(&format!("noop opaque={round}"));
        replies += &crate::packets::response(&format!("noop ok opaque={round}"));
    }
    talk.ask_on(2, &requests, &replies)
}

fn statistics(talk: &mut Talk<'_>) -> Result<(), Failure> {
    for argument in ["", "settings"] {
        let names: Vec<String> = talk.statistics(&format!(" {argument}"))?.into_keys().collect();
        let key = if argument.is_empty() { String::new() } else { format!("key={argument}") };
        talk.ask_on(2, &crate::packets::request(&format!("stat {key} opaque=77")), "")?;
        let mut seen = Vec::new();
        loop {
            let bytes = talk.received(2)?;
            let mut rest = &bytes[..];
            seen.clear();
            let mut over = false;
            while let Parsed::Response(response, len) = parse(rest) {
                if response.tag.opcode != 0x10 || response.tag.opaque != [0, 0, 0, 77] || response.status != 0 {
                    return Err(Failure::Wrong(format!("not a statistic: {response:?}")));
                }
                over = response.key.is_empty();
                seen.push(String::from_utf8_lossy(response.key).into_owned());
                rest = &rest[len..];
            }
            if over && rest.is_empty() {
                break;
            }
        }
        talk.forget(2);
        seen.pop();
        seen.sort();
        if seen != names {
            return Err(Failure::Wrong(format!("statistics {seen:?}\ninstead of {names:?}")));
        }
    }
    Ok(())
}
