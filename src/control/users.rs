//! The password file: read at the start, and again when the process is told to (SIGHUP). Here and nowhere on the data
//! path; the cores see the users that were read last.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use ring::rand::{SecureRandom, SystemRandom};

use crate::auth::scram::{Opening, ScramUsers, Secret};
use crate::auth::{UserSource, Users};

/// A file that holds this many users of the longest kind, and is no password file beyond it.
const FILE_LEN_MAX: u64 = 1 << 20;

/// The users of a file.
pub struct UserFile {
    path: PathBuf,
    users: ArcSwap<ScramUsers>,
    secret: Arc<Secret>,
}

impl UserFile {
    /// Reads a file; an error says in one line what is wrong with it.
    pub fn open(path: PathBuf) -> Result<Self, String> {
        let users = read(&path)?;
        let mut key = [0; 32];
        let random = SystemRandom::new().fill(&mut key);
        random.map_err(|_| "ringcached: the system has no random numbers".to_owned())?;
        let secret = Arc::new(Secret::new(key));
        let users = ArcSwap::from_pointee(ScramUsers::new(users, Arc::clone(&secret)));
        Ok(Self { path, users, secret })
    }

    /// Reads the file again. If that fails, the users stay who they were, and an error says why.
    pub fn reload(&self) -> Result<(), String> {
        self.users.store(ScramUsers::new(read(&self.path)?, Arc::clone(&self.secret)).into());
        Ok(())
    }
}

impl UserSource for UserFile {
    fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        self.users.load().admits(user, password)
    }

    fn open_scram(&self, user: &[u8]) -> Option<Opening> {
        self.users.load().open_scram(user)
    }
}

impl fmt::Debug for UserFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.users.load(), self.path.display())
    }
}

fn read(path: &Path) -> Result<Users, String> {
    let complain = |what: &dyn fmt::Display| format!("ringcached: password file {}: {what}", path.display());
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut text));
    read.map_err(|error| complain(&error))?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(complain(&format_args!("it has more than {FILE_LEN_MAX} bytes")));
    }
    Users::parse(&text).map_err(|error| complain(&error))
}
