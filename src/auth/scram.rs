//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): a client shows that it knows a password, and the server that
//! it knew it before, and neither says it. Without channel binding.
//!
//! Who asks for a user that there is not is answered like everybody else, and fails where a wrong password fails.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::{digest, hmac, pbkdf2};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{UserSource, Users, Word};
use crate::limits::{AUTH_NAME_LEN_MAX, SCRAM_FIRST_LEN_MAX, SCRAM_ITERATIONS};

/// The name of the mechanism.
pub const MECHANISM: &[u8] = b"SCRAM-SHA-256";

const SALT_LEN: usize = 16;
/// In base64 these are 24 characters.
const NONCE_LEN: usize = 18;
/// Of SHA-256, and with that of all keys.
const HASH_LEN: usize = 32;

const ITERATIONS: NonZeroU32 = NonZeroU32::new(SCRAM_ITERATIONS).expect("the limit is not 0");

/// What an exchange needs of the server.
#[derive(Clone)]
pub struct Opening {
    keys: Keys,
    nonce: [u8; NONCE_LEN],
}

/// What is kept of a password: enough to recognise it, too little to use it.
#[derive(Clone, Copy)]
struct Keys {
    salt: [u8; SALT_LEN],
    stored: [u8; HASH_LEN],
    server: [u8; HASH_LEN],
}

impl Keys {
    fn of_password(salt: [u8; SALT_LEN], password: &[u8]) -> Self {
        let mut salted = [0; HASH_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password, &mut salted);
        let client = hmac(&salted, &[b"Client Key"]);
        Self { salt, stored: sha256(&client), server: hmac(&salted, &[b"Server Key"]) }
    }
}

/// What salts and nonces are made from, so that nobody else can foretell them.
pub struct Secret {
    key: [u8; HASH_LEN],
    nonces: AtomicU64,
}

impl Secret {
    /// To be random.
    pub const fn new(key: [u8; HASH_LEN]) -> Self {
        Self { key, nonces: AtomicU64::new(0) }
    }

    fn salt(&self, user: &[u8]) -> [u8; SALT_LEN] {
        first(hmac(&self.key, &[b"salt ", user]))
    }

    /// Keys that no password has.
    fn nobody(&self, user: &[u8]) -> Keys {
        let (stored, server) = (hmac(&self.key, &[b"stored ", user]), hmac(&self.key, &[b"server ", user]));
        Keys { salt: self.salt(user), stored, server }
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let number = self.nonces.fetch_add(1, Ordering::Relaxed);
        first(hmac(&self.key, &[b"nonce ", &number.to_le_bytes()]))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret")
    }
}

/// Users that may authenticate by SCRAM as well.
pub struct ScramUsers {
    users: Users,
    /// Of each user, in the same order.
    keys: Vec<Keys>,
    secret: Arc<Secret>,
}

impl ScramUsers {
    /// Derives what is to be known of each password, which takes a millisecond each.
    ///
    /// RFC 5802 has clients bring passwords into a normal form, which printable ASCII is in. What is beyond it can be
    /// used by other mechanisms only.
    pub fn new(users: Users, secret: Arc<Secret>) -> Self {
        let keys = |(user, password): &(Word, Word)| {
            let (user, password) = (user.as_bytes(), password.as_bytes());
            if password.iter().all(|byte| (b' '..=b'~').contains(byte)) {
                Keys::of_password(secret.salt(user), password)
            } else {
                secret.nobody(user)
            }
        };
        let keys = users.0.iter().map(keys).collect();
        Self { users, keys, secret }
    }
}

impl UserSource for ScramUsers {
    fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        self.users.admits(user, password)
    }

    /// Compares with every user in full, whichever it is.
    fn open_scram(&self, user: &[u8]) -> Option<Opening> {
        let word = Word::new(user)?;
        let mut keys = self.secret.nobody(user);
        for ((known, _), known_keys) in self.users.0.iter().zip(&self.keys) {
            keys.take_if(known.ct_eq(&word), known_keys);
        }
        Some(Opening { keys, nonce: self.secret.nonce() })
    }
}

impl Keys {
    fn take_if(&mut self, choice: Choice, other: &Self) {
        let mine = self.salt.iter_mut().chain(&mut self.stored).chain(&mut self.server);
        for (mine, other) in mine.zip(other.salt.iter().chain(&other.stored).chain(&other.server)) {
            mine.conditional_assign(other, choice);
        }
    }
}

impl fmt::Debug for ScramUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.users.fmt(f)
    }
}

/// What follows from a client's message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The client is to be told this, and to answer.
    Challenge(Vec<u8>),
    /// It has authenticated.
    Admitted,
    /// It has not; the exchange is over.
    Refused,
}

/// An exchange that has begun.
pub struct Exchange {
    keys: Keys,
    /// What the client's last message must begin with: its header, and both nonces.
    expected: Vec<u8>,
    /// The first message of each side, which are signed.
    signed: Vec<u8>,
    /// The password was right, and the client has been told the server's signature.
    is_proven: bool,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("is_proven", &self.is_proven).finish_non_exhaustive()
    }
}

impl Exchange {
    /// The client's first message; the exchange, and the challenge that is the answer.
    pub fn begin(message: &[u8], users: &dyn UserSource) -> Option<(Self, Vec<u8>)> {
        let first = First::parse(message)?;
        let opening = users.open_scram(&first.user)?;
        let nonce = [first.nonce, BASE64_STANDARD.encode(opening.nonce).as_bytes()].concat();
        let salt = BASE64_STANDARD.encode(opening.keys.salt);
        let challenge =
            [b"r=", &nonce[..], b",s=", salt.as_bytes(), b",i=", ITERATIONS.to_string().as_bytes()].concat();
        let header = BASE64_STANDARD.encode(first.header);
        let exchange = Self {
            keys: opening.keys,
            expected: [b"c=", header.as_bytes(), b",r=", &nonce].concat(),
            signed: [first.bare, b",", &challenge].concat(),
            is_proven: false,
        };
        Some((exchange, challenge))
    }

    /// A further message. After the proof there must be an empty one, as with the SASL library that memcached uses:
    /// by then the client has seen that the server knows the password.
    pub fn step(&mut self, message: &[u8]) -> Step {
        if self.is_proven {
            return if message.is_empty() { Step::Admitted } else { Step::Refused };
        }
        match self.prove(message) {
            Some(signature) => {
                self.is_proven = true;
                Step::Challenge([b"v=", BASE64_STANDARD.encode(signature).as_bytes()].concat())
            }
            None => Step::Refused,
        }
    }

    /// The server's signature, if the client's proof is one.
    fn prove(&self, message: &[u8]) -> Option<[u8; HASH_LEN]> {
        let comma = message.iter().rposition(|&byte| byte == b',')?;
        let (unproven, proof) = (&message[..comma], message[comma + 1..].strip_prefix(b"p=")?);
        // Behind the nonce there may be extensions, which need not be understood.
        let rest = unproven.strip_prefix(&self.expected[..])?;
        if !(rest.is_empty() || rest.starts_with(b",")) {
            return None;
        }
        let proof: [u8; HASH_LEN] = BASE64_STANDARD.decode(proof).ok()?.try_into().ok()?;
        let signature = hmac(&self.keys.stored, &[&self.signed, b",", unproven]);
        let mut client = proof;
        client.iter_mut().zip(signature).for_each(|(byte, mask)| *byte ^= mask);
        let is_right = sha256(&client)[..].ct_eq(&self.keys.stored[..]);
        let signature = hmac(&self.keys.server, &[&self.signed, b",", unproven]);
        bool::from(is_right).then_some(signature)
    }
}

/// The client's first message.
struct First<'a> {
    /// All before the part that is signed.
    header: &'a [u8],
    /// The part that is signed.
    bare: &'a [u8],
    user: Vec<u8>,
    nonce: &'a [u8],
}

impl<'a> First<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        if message.len() > SCRAM_FIRST_LEN_MAX {
            return None;
        }
        let mut parts = message.splitn(3, |&byte| byte == b',');
        let (binding, acting_as, bare) = (parts.next()?, parts.next()?, parts.next()?);
        // `y`: the client could bind to a channel and thinks that the server cannot, which is so.
        if binding != b"n" && binding != b"y" {
            return None;
        }
        let mut fields = bare.split(|&byte| byte == b',');
        // An extension that must be understood stands before the name, and there is none.
        let name = fields.next()?.strip_prefix(b"n=")?;
        let nonce = fields.next()?.strip_prefix(b"r=")?;
        // Acting as somebody else is not possible here.
        let is_oneself = acting_as.is_empty() || acting_as.strip_prefix(b"a=") == Some(name);
        if !is_oneself || nonce.is_empty() || !nonce.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        Some(Self { header: &message[..message.len() - bare.len()], bare, user: unescape(name)?, nonce })
    }
}

/// A name as it is: a comma is written `=2C`, and `=` itself `=3D`.
fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut parts = name.split(|&byte| byte == b'=');
    let mut plain = parts.next()?.to_vec();
    for part in parts {
        let (code, rest) = part.split_first_chunk()?;
        plain.push(match code {
            b"2C" => b',',
            b"3D" => b'=',
            _ => return None,
        });
        plain.extend_from_slice(rest);
    }
    (1..=AUTH_NAME_LEN_MAX).contains(&plain.len()).then_some(plain)
}

fn hmac(key: &[u8; HASH_LEN], parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; HASH_LEN];
    bytes.copy_from_slice(context.sign().as_ref());
    bytes
}

fn sha256(bytes: &[u8]) -> [u8; HASH_LEN] {
    let mut hash = [0; HASH_LEN];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn first<const LEN: usize>(bytes: [u8; HASH_LEN]) -> [u8; LEN] {
    let mut beginning = [0; LEN];
    beginning.copy_from_slice(&bytes[..LEN]);
    beginning
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rsasl::config::SASLConfig;
    use rsasl::mechname::Mechname;
    use rsasl::prelude::{SASLClient, Session, State};

    use super::*;

    fn users() -> ScramUsers {
        let users = Users::parse("ann:secret\nbob:a:b =,c\na=,b:x\nzoë:y\nyan:\u{e4}\n".as_bytes()).unwrap();
        ScramUsers::new(users, Arc::new(Secret::new([7; 32])))
    }

    fn client(user: &str, password: &str, acting_as: Option<&str>) -> Session {
        let (user, acting_as) = (user.to_owned(), acting_as.map(str::to_owned));
        let config = SASLConfig::with_credentials(acting_as, user, password.to_owned()).unwrap();
        SASLClient::new(config).start_suggested(&[Mechname::parse(MECHANISM).unwrap()]).unwrap()
    }

    /// Plays the whole exchange; whether each is content with the other.
    fn talk(users: &ScramUsers, mut client: Session) -> bool {
        let mut say = |message: Option<&[u8]>| {
            let mut answer = Cursor::new(Vec::new());
            client.step(message, &mut answer).ok().map(|state| (state, answer.into_inner()))
        };
        let Some((State::Running, first)) = say(None) else { panic!() };
        let Some((mut exchange, challenge)) = Exchange::begin(&first, users) else { return false };
        let Some((State::Running, proof)) = say(Some(&challenge)) else { panic!() };
        let Step::Challenge(signature) = exchange.step(&proof) else { return false };
        // The client checks that the server knows the password.
        let Some((State::Finished(_), last)) = say(Some(&signature)) else { panic!() };
        assert_eq!(exchange.step(&last), Step::Admitted);
        true
    }

    #[test]
    fn a_client_of_another_make_gets_in_with_the_right_password() {
        let users = users();
        for (user, password) in [("ann", "secret"), ("bob", "a:b =,c"), ("a=,b", "x"), ("zoë", "y")] {
            assert!(talk(&users, client(user, password, None)), "{user}");
            assert!(!talk(&users, client(user, "wrong", None)), "{user}");
        }
        assert!(talk(&users, client("ann", "secret", Some("ann"))));
        assert!(!talk(&users, client("ann", "secret", Some("bob"))));
        assert!(!talk(&users, client("nobody", "secret", None)));
        // A password that would have to be brought into a normal form.
        assert!(!talk(&users, client("yan", "\u{e4}", None)));
    }

    /// The exchange of RFC 7677, 3.
    #[test]
    fn the_example_of_the_rfc() {
        let salt: [u8; SALT_LEN] = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let mut exchange = Exchange {
            keys: Keys::of_password(salt, b"pencil"),
            expected: [b"c=biws,r=", &nonce[..]].concat(),
            signed: [b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=", &nonce[..], b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"].concat(),
            is_proven: false,
        };
        let proof = [b"c=biws,r=", &nonce[..], b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="].concat();
        let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(exchange.step(&proof), Step::Challenge(signature.to_vec()));
        assert_eq!(exchange.step(b"x"), Step::Refused);
        assert_eq!(exchange.step(b""), Step::Admitted);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let users = users();
        let long = format!("n,,n=ann,r={}", "x".repeat(SCRAM_FIRST_LEN_MAX));
        for message in [
            "",
            "n,,",
            "n,,n=ann",
            "n,,n=ann,r=",
            "n,,r=x,n=ann",
            "p=tls-unique,,n=ann,r=x",
            "n,a=bob,n=ann,r=x",
            "n,ann,n=ann,r=x",
            "n,,m=must,n=ann,r=x",
            "n,,n=,r=x",
            "n,,n=a=2,r=x",
            "n,,n=a=2c,r=x",
            "n,,n=a=,r=x",
            "n,,n=ann,r=a b",
            &long,
        ] {
            assert!(Exchange::begin(message.as_bytes(), &users).is_none(), "{message}");
        }
        let begin = |message: &str| Exchange::begin(message.as_bytes(), &users).unwrap();
        begin("n,,n=ann,r=x,ext=1");
        let (mut exchange, challenge) = begin("y,a=ann,n=ann,r=x");
        let nonce = std::str::from_utf8(&challenge).unwrap().split(',').next().unwrap().to_owned();
        let proof = BASE64_STANDARD.encode([0; 32]);
        for message in [
            String::new(),
            format!("c=eSxhPWFubiw=,{nonce}"),
            format!("c=eSxhPWFubiw=,{nonce},p="),
            format!("c=eSxhPWFubiw=,{nonce},p={proof}"),
            format!("c=eSxhPWFubiw=,{nonce},p={proof}AA=="),
            format!("c=eSxhPWFubiw=,{nonce}x,p={proof}"),
            format!("c=biws,{nonce},p={proof}"),
            format!("p={proof}"),
        ] {
            assert_eq!(exchange.step(message.as_bytes()), Step::Refused, "{message}");
        }
    }

    #[test]
    fn who_is_unknown_is_challenged_as_others_are() {
        let users = users();
        let challenge = |user: &str| {
            let (_, challenge) = Exchange::begin(format!("n,,n={user},r=x").as_bytes(), &users).unwrap();
            let text = String::from_utf8(challenge).unwrap();
            let (nonce, rest) = text.split_once(',').unwrap();
            (nonce.to_owned(), rest.to_owned())
        };
        for user in ["ann", "nobody", "yan"] {
            let ((nonce, salt), (other_nonce, same_salt)) = (challenge(user), challenge(user));
            assert_ne!(nonce, other_nonce, "{user}");
            assert_eq!(salt, same_salt, "{user}");
            assert_eq!((nonce.len(), salt.len()), (27, 33), "{user}");
        }
        assert_ne!(challenge("ann").1, challenge("nobody").1);
    }
}
