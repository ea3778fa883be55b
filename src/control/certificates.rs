//! The files of TLS, read at the start and again by `SIGHUP` or `refresh_certs`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::config::{KeyFormat, TlsOptions};
use crate::server::tls::{ClientContexts, TlsContexts};

/// Sessions kept for clients that take no tickets, if any are (`ssl_session_cache`).
const SESSIONS_KEPT_MAX: usize = 16 << 10;

/// Reads all files and makes of them what connections need. Fails with a text that names the file.
pub fn load(options: &TlsOptions) -> Result<TlsContexts, String> {
    let chain = certificates("ssl_chain_cert", &options.chain_cert)?;
    let key = key(options)?;
    let provider = Arc::new(provider(options.ciphers.as_deref())?);
    let versions: &[&SupportedProtocolVersion] =
        if options.only_tls13 { &[&rustls::version::TLS13] } else { rustls::ALL_VERSIONS };
    let builder = || {
        ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| format!("-o ssl_ciphers: {error}"))
    };
    // One for all: a client resumes on any core. A new one each time: who resumed would not be checked against new files.
    let tickets = Ticketer::new().map_err(|error| format!("cannot make a key for tickets: {error}"))?;
    let finish = |config: Result<ServerConfig, rustls::Error>| {
        let mut config = config.map_err(|error| unfit(options, &error))?;
        config.ticketer = Arc::clone(&tickets);
        config.session_storage = if options.session_cache {
            ServerSessionMemoryCache::new(SESSIONS_KEPT_MAX)
        } else {
            Arc::new(NoServerSessionStorage {})
        };
        Ok::<_, String>(Arc::new(config))
    };
    let never = finish(builder()?.with_no_client_auth().with_single_cert(chain.clone(), key.clone_key()))?;
    let Some(ca_cert) = &options.ca_cert else { return Ok(TlsContexts { never, clients: None }) };
    let roots = Arc::new(roots(ca_cert)?);
    let verifier = |must: bool| {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let builder = if must { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| format!("-o ssl_ca_cert: {}: {error}", ca_cert.display()))
    };
    let with = |must| {
        let builder = builder()?.with_client_cert_verifier(verifier(must)?);
        finish(builder.with_single_cert(chain.clone(), key.clone_key()))
    };
    Ok(TlsContexts { never, clients: Some(ClientContexts { asked: with(false)?, required: with(true)? }) })
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let complain = |what: String| format!("-o {option}: {}: {what}", path.display());
    let text = fs::read(path).map_err(|error| complain(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| complain(error.to_string()))?;
    if certificates.is_empty() { Err(complain("no certificate in PEM is there".to_owned())) } else { Ok(certificates) }
}

fn key(options: &TlsOptions) -> Result<PrivateKeyDer<'static>, String> {
    let complain = |what: String| format!("-o ssl_key: {}: {what}", options.key.display());
    let bytes = fs::read(&options.key).map_err(|error| complain(error.to_string()))?;
    match options.key_format {
        KeyFormat::Pem => PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| complain(error.to_string())),
        KeyFormat::Der => PrivateKeyDer::try_from(bytes).map_err(|error| complain(error.to_owned())),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ssl_ca_cert", path)? {
        roots.add(certificate).map_err(|error| format!("-o ssl_ca_cert: {}: {error}", path.display()))?;
    }
    Ok(roots)
}

/// Certificate and key are each well written, but not for each other or for this use.
fn unfit(options: &TlsOptions, error: &rustls::Error) -> String {
    format!("{} and {} cannot be used: {error}", options.chain_cert.display(), options.key.display())
}

/// The suites of TLS 1.2 by OpenSSL's names, which are those that users know.
const CIPHERS: [(&str, rustls::CipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", rustls::CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];
/// OpenSSL's words for lists that hold all of these.
const CIPHER_LISTS: [&str; 4] = ["ALL", "DEFAULT", "HIGH", "ECDHE"];

/// The cryptography, with the suites of TLS 1.2 that are asked for. Those of TLS 1.3 always stay, as with OpenSSL.
fn provider(ciphers: Option<&str>) -> Result<CryptoProvider, String> {
    let mut provider = default_provider();
    let Some(ciphers) = ciphers else { return Ok(provider) };
    let names: Vec<&str> = ciphers.split(':').collect();
    let mut allowed = Vec::new();
    for name in &names {
        if CIPHER_LISTS.contains(name) {
            allowed.extend(CIPHERS.iter().map(|(_, suite)| *suite));
        } else if let Some((_, suite)) = CIPHERS.iter().find(|(known, _)| known == name) {
            allowed.push(*suite);
        } else if !name.starts_with(['!', '-', '+', '@']) && !name.starts_with("TLS_") {
            tracing::info!("-o ssl_ciphers: {name}: not spoken here");
        }
    }
    for name in names.iter().filter_map(|name| name.strip_prefix(['!', '-'])) {
        allowed.retain(|suite| !CIPHERS.iter().any(|(known, other)| *known == name && other == suite));
    }
    if allowed.is_empty() {
        return Err(format!("-o ssl_ciphers: none of {ciphers} is spoken here"));
    }
    provider.cipher_suites.retain(|suite| suite.tls13().is_some() || allowed.contains(&suite.suite()));
    Ok(provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ciphers: Option<&str>) -> Result<Vec<rustls::CipherSuite>, String> {
        let suites = provider(ciphers)?.cipher_suites;
        Ok(suites.iter().filter(|suite| suite.tls13().is_none()).map(rustls::SupportedCipherSuite::suite).collect())
    }

    #[test]
    fn ciphers_are_named_as_openssl_names_them() {
        assert_eq!(names(None).unwrap().len(), CIPHERS.len(), "all that there are");
        assert_eq!(names(Some("HIGH:!aNULL:!MD5")).unwrap().len(), CIPHERS.len());
        let one = rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
        assert_eq!(names(Some("ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA")), Ok(vec![one]));
        assert_eq!(names(Some("ALL:!ECDHE-RSA-AES128-GCM-SHA256")).unwrap().len(), CIPHERS.len() - 1);
        assert!(names(Some("RC4-SHA")).unwrap_err().contains("none of RC4-SHA"));
        assert!(!provider(Some("ECDHE-RSA-AES128-GCM-SHA256")).unwrap().cipher_suites.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_file_names_it() {
        let path = std::env::temp_dir().join(format!("ringcached-certificates-{}", std::process::id()));
        let options = |chain_cert: &Path, key: &Path| TlsOptions {
            chain_cert: chain_cert.into(),
            key: key.into(),
            key_format: KeyFormat::Pem,
            client_certificate: crate::config::ClientCertificate::Never,
            verify_mode: 0,
            ca_cert: None,
            ciphers: None,
            session_cache: false,
            only_tls13: false,
        };
        let absent = Path::new("/nowhere/cert.pem");
        let error = load(&options(absent, absent)).unwrap_err();
        assert!(error.contains("ssl_chain_cert: /nowhere/cert.pem"), "{error}");
        fs::write(&path, "nothing").unwrap();
        let error = load(&options(&path, &path)).unwrap_err();
        assert!(error.contains("no certificate"), "{error}");
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&path, pair.cert.pem()).unwrap();
        let error = load(&options(&path, &path)).unwrap_err();
        assert!(error.contains("ssl_key"), "{error}");
        fs::write(&path, pair.cert.pem() + &pair.signing_key.serialize_pem()).unwrap();
        assert!(load(&options(&path, &path)).is_ok_and(|contexts| contexts.clients.is_none()));
        fs::remove_file(&path).unwrap();
    }
}
