//! What a core is made from.

use std::fmt::Debug;
use std::sync::Arc;

use crate::auth::UserSource;
use crate::engine::{Address, AdminConfig};
use crate::metrics::ProcessFacts;
use crate::protocol::Dialect;
use crate::session::framing::Framing;
use crate::store::ShardConfig;
use crate::terms::Now;

/// What only the world knows and `stats` shows.
pub trait FactSource: Debug + Send + Sync {
    /// The process and its limits.
    fn facts(&self, now: Now) -> ProcessFacts<'_>;
    /// How much is logged.
    fn verbosity(&self) -> u32;
}

/// What one core is made from.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct EngineConfig {
    /// Its shard.
    pub shard: ShardConfig,
    /// Requests, or keys of a multi-get, that one connection runs before others get their turn (`-R`).
    pub requests_per_turn: usize,
    /// Whether a connection waits for its outstanding requests before it sends one to another owner
    /// (`-o pipeline_order=strict`).
    pub strict_order: bool,
    /// Whether `flush_all` is allowed (not with `-F`).
    pub flush_enabled: bool,
    /// Whether `shutdown` is allowed (`-A`).
    pub shutdown_enabled: bool,
    /// Who may talk to the server, and how.
    pub access: Access,
    /// What who looks after a server may ask.
    pub admin: AdminConfig,
    /// Connections idle for longer are closed (`-o idle_timeout`).
    pub idle_timeout_ms: Option<u64>,
    /// Whether `refresh_certs` has something to do (`-Z`).
    pub has_tls: bool,
    /// What `version` answers.
    pub version: &'static str,
    /// What `stats settings` answers.
    pub settings: Vec<(&'static str, String)>,
    /// This core's listeners, for `stats conns`: descriptor and address.
    pub listeners: Vec<(i32, Address)>,
    /// What `stats` shows of the process.
    pub facts: Arc<dyn FactSource>,
}

/// Who may talk to the server, and how.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The dialect of all connections (`-B`); `None` lets the first byte of each decide.
    pub dialect: Option<Dialect>,
    /// Who may (`-Y`, `-S`): then `dialect` says where they do it. `None` lets everybody.
    pub users: Option<Arc<dyn UserSource>>,
}

impl Access {
    pub(super) fn framing(&self, item_size_max: usize, of_listener: Option<Dialect>) -> Framing {
        match (of_listener.or(self.dialect), &self.users) {
            (Some(dialect), users) => Framing::of_dialect(item_size_max, dialect, users.is_some()),
            // Text is where everything is refused until a client has authenticated there.
            (None, Some(_)) => Framing::of_dialect(item_size_max, Dialect::Text, true),
            (None, None) => Framing::new(item_size_max),
        }
    }
}
