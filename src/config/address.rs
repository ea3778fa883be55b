//! `-l`: names and numbers of addresses to sockets to open.

use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::value::{ConfigError, number};
use crate::protocol::Dialect;

/// One address the user asked for, and what it resolved to. At least one of the latter must be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// As written, for messages.
    pub name: String,
    /// What it stands for: a name may have several. Port 0 asks the kernel for a free one.
    pub addresses: Vec<SocketAddr>,
    /// How connections are spoken to.
    pub manner: Manner,
}

/// How connections are spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Manner {
    /// Whether and how they are encrypted.
    pub security: Security,
    /// The dialect; `None` lets the first byte of each decide.
    pub dialect: Option<Dialect>,
}

/// How an address is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    /// In clear.
    Plain,
    /// By TLS.
    Tls(ClientCertificate),
}

/// What TLS asks of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientCertificate {
    /// Nothing.
    Never,
    /// A certificate, if it has one; then it must be good.
    Asked,
    /// A good certificate.
    Required,
}

/// Reads one element of `-l`; `port` and `manner` are for those without one of their own. Notices go to `notices`.
pub(super) fn parse(
    name: &str,
    port: u16,
    mut manner: Manner,
    notices: &mut Vec<String>,
) -> Result<Listen, ConfigError> {
    let (host, own_port) = split(without_prefixes(name, &mut manner, notices)?)
        .ok_or_else(|| ConfigError::bad("-l", format_args!("must be HOST, HOST:PORT or [V6]:PORT, not {name:?}")))?;
    let port = own_port.map_or(Ok(port), |text| number(format_args!("-l {name}"), text, 1..=u16::MAX))?;
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        let reason = error.to_string();
        let reason = reason.rsplit(": ").next().unwrap_or(&reason);
        ConfigError::bad("-l", format_args!("cannot resolve {host:?}: {reason}"))
    })?;
    let mut listen = Listen { name: name.to_owned(), addresses: Vec::new(), manner };
    for address in addresses {
        if !listen.addresses.contains(&address) {
            listen.addresses.push(address);
        }
    }
    Ok(listen)
}

/// Strips memcached's prefixes, which say how to speak on an address.
fn without_prefixes<'a>(name: &'a str, manner: &mut Manner, notices: &mut Vec<String>) -> Result<&'a str, ConfigError> {
    let mut rest = name;
    loop {
        if let Some(after) = rest.strip_prefix("notls:") {
            manner.security = Security::Plain;
            rest = after;
        } else if let Some(after) = rest.strip_prefix("btls:") {
            manner.security = Security::Tls(ClientCertificate::Never);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("mtls:") {
            manner.security = Security::Tls(ClientCertificate::Required);
            rest = after;
        } else if let Some((tag, after)) = bracketed(rest, "tag[") {
            notices.push(format!("-l {name}: accepted without effect: nothing reads the tag {tag:?}"));
            rest = after;
        } else if let Some((protocol, after)) = bracketed(rest, "proto[") {
            manner.dialect = match protocol {
                "ascii" => Some(Dialect::Text),
                "binary" => Some(Dialect::Binary),
                "negotiating" => None,
                "proxy" => return Err(ConfigError::not_built(format_args!("-l {name}"), "the proxy")),
                _ => return Err(ConfigError::bad("-l", format_args!("unknown protocol {protocol:?} in {name:?}"))),
            };
            rest = after;
        } else if rest.starts_with("unix:") {
            return Err(ConfigError::bad(format_args!("-l {name}"), "a socket in the file system is opened by -s"));
        } else {
            return Ok(rest);
        }
    }
}

/// `text` as `<opening><inside>]:<after>`.
fn bracketed<'a>(text: &'a str, opening: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(opening)?.split_once("]:")
}

/// Host and, if there is one, port.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(inside) = text.strip_prefix('[') {
        let (host, after) = inside.split_once(']')?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
        return is_v6(host).then_some((host, port));
    }
    let (host, port) = match text.matches(':').count() {
        0 => (text, None),
        1 => text.split_once(':').map(|(host, port)| (host, Some(port)))?,
        _ if is_v6(text) => (text, None),
        _ => return None,
    };
    (!host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "[]/".contains(c))).then_some((host, port))
}

/// A literal, perhaps with the interface it is local to, as in `fe80::1%eth0`.
fn is_v6(host: &str) -> bool {
    host.split('%').next().is_some_and(|literal| literal.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Manner = Manner { security: Security::Plain, dialect: None };

    fn addresses(name: &str) -> Result<Vec<String>, String> {
        let listen = parse(name, 11211, PLAIN, &mut Vec::new()).map_err(|error| error.to_string())?;
        Ok(listen.addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_spelling_of_an_address() {
        for (name, address) in [
            ("127.0.0.1", "127.0.0.1:11211"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("0.0.0.0", "0.0.0.0:11211"),
            ("::1", "[::1]:11211"),
            ("::", "[::]:11211"),
            ("[::1]", "[::1]:11211"),
            ("[::1]:80", "[::1]:80"),
            ("notls:127.0.0.1:80", "127.0.0.1:80"),
            ("proto[ascii]:127.0.0.1", "127.0.0.1:11211"),
            ("tag[a]:proto[ascii]:[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(addresses(name), Ok(vec![address.to_owned()]), "{name}");
        }
        assert!(addresses("localhost").is_ok_and(|found| found.contains(&"127.0.0.1:11211".to_owned())));
    }

    #[test]
    fn what_is_no_address() {
        for name in ["", ":80", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "[::1", "[::1]80", "[host]:80", "a:b:c"]
        {
            assert!(addresses(name).is_err_and(|line| line.starts_with("ringcached: -l")), "{name}");
        }
        assert!(addresses("unix:/tmp/x").is_err_and(|line| line.contains("opened by -s")));
        let name = "proto[proxy]:127.0.0.1";
        assert!(addresses(name).is_err_and(|line| line.contains("not supported yet: -l")), "{name}");
    }

    #[test]
    fn prefixes_say_how_connections_are_spoken_to() {
        let default = Manner { security: Security::Tls(ClientCertificate::Asked), dialect: Some(Dialect::Binary) };
        for (name, security, dialect) in [
            ("127.0.0.1", default.security, default.dialect),
            ("notls:127.0.0.1:1", Security::Plain, default.dialect),
            ("proto[negotiating]:tag[a]:btls:127.0.0.1", Security::Tls(ClientCertificate::Never), None),
            ("proto[ascii]:mtls:[::1]:2", Security::Tls(ClientCertificate::Required), Some(Dialect::Text)),
        ] {
            let listen = parse(name, 11211, default, &mut Vec::new()).unwrap();
            assert_eq!(listen.manner, Manner { security, dialect }, "{name}");
        }
    }

    #[test]
    fn a_tag_leaves_a_notice() {
        let mut notices = Vec::new();
        assert!(parse("tag[east]:127.0.0.1", 11211, PLAIN, &mut notices).is_ok());
        assert_eq!(notices, ["-l tag[east]:127.0.0.1: accepted without effect: nothing reads the tag \"east\""]);
    }
}
