//! What may differ between two servers that are both right: CAS uniques, times, versions.

use ringcached::protocol::binary::response::{Parsed, parse};

const BAD_LINE: &str = "CLIENT_ERROR bad command line format";

/// The lines of a text reply, masked. Data of values are lines too; they are the same on both sides or something is
/// wrong.
pub(crate) fn lines(bytes: &[u8]) -> Vec<String> {
    let text = bytes.escape_ascii().to_string();
    text.split("\\r\\n").map(line).collect()
}

fn line(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match words[0] {
        // Too few words, and lines too short, were an unknown command before 1.6.2x.
        "ERROR" | "CLIENT_ERROR" if line == "ERROR" || line == BAD_LINE => BAD_LINE.to_owned(),
        "VALUE" if words.len() == 5 => [&words[..4], &[unique(words[4])]].concat().join(" "),
        "VERSION" => "VERSION".to_owned(),
        "HD" | "VA" | "EN" | "NS" | "EX" | "NF" => {
            // Whether an item remembers after a change that its key came in base64 is not the same.
            let is_base64 = words.contains(&"b");
            let words = words.iter().filter(|word| **word != "b");
            words.map(|word| if is_base64 { decoded(word) } else { item(word) }).collect::<Vec<_>>().join(" ")
        }
        "ME" => words.first().into_iter().chain(words.get(1)).copied().collect::<Vec<_>>().join(" "),
        _ => line.to_owned(),
    }
}

fn unique(word: &str) -> &'static str {
    if word == "0" { "0" } else { "#" }
}

/// A word of a meta reply: a version, or seconds left or since.
fn item(word: &str) -> String {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match word.split_at_checked(1) {
        Some(("c", digits)) if is_number(digits) => format!("c{}", unique(digits)),
        Some((letter @ ("t" | "l"), digits)) if is_number(digits) => format!("{letter}#"),
        _ => word.to_owned(),
    }
}

/// As [`item`], with the key that came in base64 as it is.
fn decoded(word: &str) -> String {
    match word {
        "kYQ==" => "ka".to_owned(),
        "kYg==" => "kb".to_owned(),
        "kc3RhZ2Vk" => "kstaged".to_owned(),
        "kAAEC" => "k\\x00\\x01\\x02".to_owned(),
        _ => item(word),
    }
}

/// The packets of a reply, masked, each on a line.
pub(crate) fn packets(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut lines = Vec::new();
    while let Parsed::Response(response, len) = parse(rest) {
        let opcode = response.tag.opcode;
        let value = if opcode == 0x0b && response.status == 0 { b"version" } else { response.value };
        lines.push(format!(
            "{opcode:02x} status {:02x} opaque {} cas {} extras {} key {} value {}",
            response.status,
            response.tag.opaque.escape_ascii(),
            if response.cas.0 == 0 { "0" } else { "#" },
            response.extras.escape_ascii(),
            response.key.escape_ascii(),
            value.escape_ascii(),
        ));
        rest = &rest[len..];
    }
    if !rest.is_empty() {
        lines.push(format!("no packet: {}", rest.escape_ascii()));
    }
    lines
}
