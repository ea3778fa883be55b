//! Who may talk to the server: names and passwords, compared so that the time it takes tells nothing about them.

pub mod scram;

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

use crate::limits::{AUTH_NAME_LEN_MAX, AUTH_USERS_MAX};

/// Whoever knows the users. The cores ask it once per attempt to authenticate, never else.
pub trait UserSource: fmt::Debug + Send + Sync {
    /// Whether there is a user of this name and password.
    fn admits(&self, user: &[u8], password: &[u8]) -> bool;

    /// What an exchange of SCRAM with a user begins with, whether there is such a user or not; nothing if the users
    /// cannot authenticate so.
    fn open_scram(&self, user: &[u8]) -> Option<scram::Opening> {
        let _ = user;
        None
    }
}

/// The users of a password file.
#[derive(Clone, PartialEq, Eq)]
pub struct Users(Vec<(Word, Word)>);

/// Why a password file cannot be used. It never quotes from the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UsersError {
    /// There is no user in it.
    Empty,
    /// There are more than [`AUTH_USERS_MAX`].
    TooMany,
    /// This line, counted from 1, is no `user:password`.
    NoColon(usize),
    /// In this line the name or the password is empty, or longer than [`AUTH_NAME_LEN_MAX`].
    Length(usize),
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "there is no user in it"),
            Self::TooMany => write!(f, "there are more than {AUTH_USERS_MAX} users in it"),
            Self::NoColon(line) => write!(f, "line {line} is no user:password"),
            Self::Length(line) => {
                write!(f, "line {line}: name and password must have 1 to {AUTH_NAME_LEN_MAX} bytes")
            }
        }
    }
}

impl Users {
    /// The users in the text of a password file (PROTOCOL §9): lines `user:password`, where the name ends at the first
    /// colon. Empty lines are nothing.
    pub fn parse(text: &[u8]) -> Result<Self, UsersError> {
        let mut users = Vec::new();
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                return Err(UsersError::NoColon(index + 1));
            };
            let (Some(user), Some(password)) = (Word::new(&line[..colon]), Word::new(&line[colon + 1..])) else {
                return Err(UsersError::Length(index + 1));
            };
            users.push((user, password));
        }
        match users.len() {
            0 => Err(UsersError::Empty),
            1..=AUTH_USERS_MAX => Ok(Self(users)),
            _ => Err(UsersError::TooMany),
        }
    }
}

impl UserSource for Users {
    /// Compares with every user in full, whichever it is.
    fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        let (Some(user), Some(password)) = (Word::new(user), Word::new(password)) else { return false };
        let mut found = Choice::from(0);
        for (known_user, known_password) in &self.0 {
            found |= known_user.ct_eq(&user) & known_password.ct_eq(&password);
        }
        found.into()
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users", self.0.len())
    }
}

/// A name or a password, in memory of the same size whatever its length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word([u8; AUTH_NAME_LEN_MAX + 1]);

impl Word {
    fn new(bytes: &[u8]) -> Option<Self> {
        let len = u8::try_from(bytes.len()).ok().filter(|&len| len > 0)?;
        let mut word = [0; AUTH_NAME_LEN_MAX + 1];
        word[0] = len;
        word[1..=bytes.len()].copy_from_slice(bytes);
        Some(Self(word))
    }

    fn as_bytes(&self) -> &[u8] {
        &self.0[1..=usize::from(self.0[0])]
    }

    fn ct_eq(&self, other: &Self) -> Choice {
        self.0[..].ct_eq(&other.0[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_name_and_password_together() {
        let users = Users::parse(b"ann:secret\nbob:a:b c\r\n\n").unwrap();
        for (user, password) in [("ann", "secret"), ("bob", "a:b c")] {
            assert!(users.admits(user.as_bytes(), password.as_bytes()), "{user}");
        }
        for (user, password) in [
            ("ann", "a:b c"),
            ("bob", "secret"),
            ("ann", "secre"),
            ("ann", "secret\0"),
            ("", ""),
            ("ann", ""),
            ("", "secret"),
        ] {
            assert!(!users.admits(user.as_bytes(), password.as_bytes()), "{user} {password}");
        }
        let long = [b'x'; AUTH_NAME_LEN_MAX + 1];
        assert!(!users.admits(&long, &long));
        assert_eq!(format!("{users:?}"), "2 users");
    }

    #[test]
    fn a_file_is_taken_as_a_whole_or_not_at_all() {
        let long = "x".repeat(AUTH_NAME_LEN_MAX);
        assert!(Users::parse(format!("{long}:{long}").as_bytes()).is_ok());
        let cases = [
            ("", UsersError::Empty),
            ("\n\n", UsersError::Empty),
            ("ann:x\nbob\n", UsersError::NoColon(2)),
            ("ann:\n", UsersError::Length(1)),
            ("ann:x\n:x\n", UsersError::Length(2)),
            (&format!("ann:y{long}"), UsersError::Length(1)),
            (&"ann:x\n".repeat(AUTH_USERS_MAX + 1), UsersError::TooMany),
        ];
        for (text, error) in cases {
            assert_eq!(Users::parse(text.as_bytes()), Err(error), "{text}");
        }
    }
}
