//! `-Z` and the suboptions `ssl_*`: what TLS is made from. The files themselves are read by the control plane.

use std::path::PathBuf;

use super::absolute;
use super::address::{ClientCertificate, Security};
use super::options::Options;
use super::value::ConfigError;

/// What TLS is made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsOptions {
    /// The file with the server's certificate and those between it and its root (`ssl_chain_cert`), absolute.
    pub chain_cert: PathBuf,
    /// The file with the private key (`ssl_key`), absolute.
    pub key: PathBuf,
    /// How the key is written (`ssl_keyformat`).
    pub key_format: KeyFormat,
    /// What is asked of clients on addresses without a prefix (`ssl_verify_mode`).
    pub client_certificate: ClientCertificate,
    /// The number of that, as `stats settings` shows it.
    pub verify_mode: u8,
    /// The file with the certificates that clients' are checked against (`ssl_ca_cert`), absolute.
    pub ca_cert: Option<PathBuf>,
    /// Names of the cipher suites allowed with TLS 1.2, as OpenSSL writes them (`ssl_ciphers`); `None` allows all.
    pub ciphers: Option<String>,
    /// Whether sessions are kept here for clients that take no tickets (`ssl_session_cache`).
    pub session_cache: bool,
    /// Whether TLS 1.2 is refused (`ssl_min_version`).
    pub only_tls13: bool,
}

/// How a private key is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum KeyFormat {
    /// Text between lines with dashes.
    #[default]
    Pem,
    /// The bytes themselves.
    Der,
}

/// What `-o ssl_*` said.
#[derive(Default, Debug)]
pub(super) struct TlsSuboptions {
    pub(super) chain_cert: Option<String>,
    pub(super) key: Option<String>,
    pub(super) key_format: KeyFormat,
    pub(super) verify_mode: u8,
    pub(super) ca_cert: Option<String>,
    pub(super) ciphers: Option<String>,
    pub(super) session_cache: bool,
    pub(super) only_tls13: bool,
    /// The first one that was given.
    pub(super) any: Option<&'static str>,
}

/// Values of `ssl_keyformat`: names, and the numbers that older releases took.
pub(super) const KEY_FORMATS: &[&str] = &["PEM", "DER", "1", "2"];
/// Values of `ssl_min_version`.
pub(super) const MIN_VERSIONS: &[&str] = &["tlsv1.2", "tlsv1.3", "tlsv1.0", "tlsv1.1"];

impl TlsSuboptions {
    /// Takes one whose value is legal.
    pub(super) fn set(&mut self, name: &'static str, value: Option<&str>, notices: &mut Vec<String>) {
        self.any.get_or_insert(name);
        let text = value.map(str::to_owned);
        match name {
            "ssl_chain_cert" => self.chain_cert = text,
            "ssl_key" => self.key = text,
            "ssl_keyformat" => {
                self.key_format = if matches!(value, Some("DER" | "2")) { KeyFormat::Der } else { KeyFormat::Pem };
            }
            "ssl_verify_mode" => self.verify_mode = value.and_then(|text| text.parse().ok()).unwrap_or_default(),
            "ssl_ca_cert" => self.ca_cert = text,
            "ssl_ciphers" => self.ciphers = text,
            "ssl_session_cache" => self.session_cache = true,
            "ssl_min_version" => {
                self.only_tls13 = value == Some("tlsv1.3");
                if let Some(older @ ("tlsv1.0" | "tlsv1.1")) = value {
                    notices.push(format!("-o ssl_min_version={older}: taken as tlsv1.2: older ones are not spoken"));
                }
            }
            _ => {}
        }
    }
}

/// TLS as asked for, and how addresses without a prefix are spoken to.
pub(super) fn tls(
    options: &Options,
    given: TlsSuboptions,
    notices: &mut Vec<String>,
) -> Result<(Option<TlsOptions>, Security), ConfigError> {
    if !options.tls {
        if let Some(name) = given.any {
            notices.push(format!("-o {name}: without effect: TLS is off (-Z)"));
        }
        return Ok((None, Security::Plain));
    }
    let Some(chain_cert) = given.chain_cert else {
        return Err(ConfigError::bad("-Z", "TLS needs a certificate: -o ssl_chain_cert=FILE,ssl_key=FILE"));
    };
    let path = |name: &str, text: &str| absolute(&format!("-o {name}"), text.as_ref());
    let client_certificate = match given.verify_mode {
        0 => ClientCertificate::Never,
        2 => ClientCertificate::Required,
        // Once is what there is: no handshake is repeated within a connection.
        _ => ClientCertificate::Asked,
    };
    let ca_cert = given.ca_cert.map(|text| path("ssl_ca_cert", &text)).transpose()?;
    if client_certificate != ClientCertificate::Never && ca_cert.is_none() {
        return Err(ConfigError::bad("-o ssl_verify_mode", "needs -o ssl_ca_cert=FILE to check clients against"));
    }
    let key = given.key.as_ref().unwrap_or(&chain_cert);
    let tls = TlsOptions {
        key: path("ssl_key", key)?,
        chain_cert: path("ssl_chain_cert", &chain_cert)?,
        key_format: given.key_format,
        client_certificate,
        verify_mode: given.verify_mode,
        ca_cert,
        ciphers: given.ciphers,
        session_cache: given.session_cache,
        only_tls13: given.only_tls13,
    };
    Ok((Some(tls), Security::Tls(client_certificate)))
}

/// Addresses that ask for TLS, where there is none to be had.
pub(super) fn check_prefixes<'a>(
    securities: impl Iterator<Item = (&'a str, Security)>,
    tls: Option<&TlsOptions>,
) -> Result<(), ConfigError> {
    for (name, security) in securities {
        let Security::Tls(client) = security else { continue };
        let Some(tls) = tls else {
            return Err(ConfigError::bad(format_args!("-l {name}"), "TLS is off: -Z switches it on"));
        };
        if client == ClientCertificate::Required && tls.ca_cert.is_none() {
            let complaint = "needs -o ssl_ca_cert=FILE to check clients against";
            return Err(ConfigError::bad(format_args!("-l {name}"), complaint));
        }
    }
    Ok(())
}
