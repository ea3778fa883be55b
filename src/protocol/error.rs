//! What a client did wrong, and the line that tells it so.

/// A request that cannot be executed. Each variant is one reply line (PROTOCOL §10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// No such command.
    UnknownCommand,
    /// Too few tokens, a key too long, a number that is none.
    BadLine,
    /// The value was not followed by CRLF.
    BadDataChunk,
    /// The exptime is not a number of 32 bits.
    InvalidExptime,
    /// The delta of `incr` or `decr` is not a number of 64 bits.
    InvalidDelta,
    /// `flush_all` is switched off (`-F`).
    FlushNotAllowed,
    /// `shutdown` is not switched on (`-A`).
    ShutdownNotEnabled,
    /// `shutdown` with an unknown argument.
    InvalidShutdownMode,
    /// A `get` line beyond [`crate::limits::GET_LINE_LEN_MAX`]: ours, memcached knows no limit.
    LineTooLong,
    /// A meta flag stands twice.
    DuplicateFlag,
    /// There is no such meta flag.
    InvalidFlag,
    /// Whatever is wrong with the flags of `ma`.
    InvalidOrDuplicateFlag,
    /// The number of a meta flag is none.
    BadToken,
    /// More words in a meta line than [`crate::limits::META_TOKENS_MAX`].
    FlagsTooLong,
    /// An opaque longer than [`crate::limits::META_OPAQUE_LEN_MAX`].
    OpaqueTooLong,
    /// A key that is said to be base64 and is not.
    KeyNotDecodable,
    /// The mode of `ms` is none.
    InvalidStoreMode,
    /// The mode of `ma` is none.
    InvalidArithmeticMode,
    /// The first value of `ma` is no number.
    InvalidInitialValue,
    /// The delta of `ma` is no number.
    InvalidDeltaValue,
    /// `stats cachedump` with too few words.
    BadCommandLine,
    /// `stats cachedump` of a class that cannot be.
    IllegalClass,
    /// `stats detail` without a word it knows.
    DetailUsage,
    /// `stats detail` is switched off (`-X`).
    DetailNotAllowed,
    /// `stats cachedump` is switched off (`-X`).
    CachedumpNotAllowed,
    /// `lru_crawler metadump` is switched off (`-X`).
    MetadumpNotAllowed,
    /// `lru_crawler mgdump` is switched off (`-X`).
    MgdumpNotAllowed,
    /// A dump of this core is under way.
    DumpBusy,
    /// `watch` is switched off (`-W`).
    WatchNotAllowed,
    /// There are too many watchers.
    TooManyWatchers,
    /// `refresh_certs` of a server without TLS.
    NoTls,
    /// `cache_memlimit` below 8 MiB.
    MemoryLimitTooSmall,
    /// `cache_memlimit` in bytes instead of megabytes.
    MemoryLimitTooLarge,
    /// Anything but authentication, before it.
    Unauthenticated,
    /// No user of this name and password.
    AuthFailure,
    /// Name and password longer than [`crate::limits::AUTH_TOKEN_LEN_MAX`].
    AuthTokenTooLong,
    /// No blank between name and password.
    AuthTokenFormat,
    /// Name and password not followed by CRLF.
    AuthTermination,
}

impl ProtocolError {
    /// The reply line, with its end.
    pub const fn line(self) -> &'static [u8] {
        match self {
            Self::UnknownCommand => b"ERROR\r\n",
            Self::BadLine => b"CLIENT_ERROR bad command line format\r\n",
            Self::BadDataChunk => b"CLIENT_ERROR bad data chunk\r\n",
            Self::InvalidExptime => b"CLIENT_ERROR invalid exptime argument\r\n",
            Self::InvalidDelta => b"CLIENT_ERROR invalid numeric delta argument\r\n",
            Self::FlushNotAllowed => b"CLIENT_ERROR flush_all not allowed\r\n",
            Self::ShutdownNotEnabled => b"SERVER_ERROR: shutdown not enabled\r\n",
            Self::InvalidShutdownMode => b"CLIENT_ERROR invalid shutdown mode\r\n",
            Self::LineTooLong => b"CLIENT_ERROR line too long\r\n",
            Self::DuplicateFlag => b"CLIENT_ERROR duplicate flag\r\n",
            Self::InvalidFlag => b"CLIENT_ERROR invalid flag\r\n",
            Self::InvalidOrDuplicateFlag => b"CLIENT_ERROR invalid or duplicate flag\r\n",
            Self::BadToken => b"CLIENT_ERROR bad token in command line format\r\n",
            Self::FlagsTooLong => b"CLIENT_ERROR options flags are too long\r\n",
            Self::OpaqueTooLong => b"CLIENT_ERROR opaque token too long\r\n",
            Self::KeyNotDecodable => b"CLIENT_ERROR error decoding key\r\n",
            Self::InvalidStoreMode => b"CLIENT_ERROR invalid mode for ms M token\r\n",
            Self::InvalidArithmeticMode => b"CLIENT_ERROR invalid mode for ma M token\r\n",
            Self::InvalidInitialValue => b"CLIENT_ERROR invalid numeric initial value\r\n",
            Self::InvalidDeltaValue => b"CLIENT_ERROR invalid numeric delta value\r\n",
            Self::BadCommandLine => b"CLIENT_ERROR bad command line\r\n",
            Self::IllegalClass => b"CLIENT_ERROR Illegal slab id\r\n",
            Self::DetailUsage => b"CLIENT_ERROR usage: stats detail on|off|dump\r\n",
            Self::DetailNotAllowed => b"CLIENT_ERROR stats detail not allowed\r\n",
            Self::CachedumpNotAllowed => b"CLIENT_ERROR stats cachedump not allowed\r\n",
            Self::MetadumpNotAllowed => b"ERROR metadump not allowed\r\n",
            Self::MgdumpNotAllowed => b"ERROR mgdump not allowed\r\n",
            Self::DumpBusy => b"BUSY currently processing crawler request\r\n",
            Self::WatchNotAllowed => b"CLIENT_ERROR watch commands not allowed\r\n",
            Self::TooManyWatchers => b"WATCHER_TOO_MANY log watcher limit reached\r\n",
            Self::NoTls => b"Error TLS not enabled\r\n",
            Self::MemoryLimitTooSmall => b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n",
            Self::Unauthenticated => b"CLIENT_ERROR unauthenticated\r\n",
            Self::AuthFailure => b"CLIENT_ERROR authentication failure\r\n",
            Self::AuthTokenTooLong => b"CLIENT_ERROR auth token too long\r\n",
            Self::AuthTokenFormat => b"CLIENT_ERROR bad authentication token format\r\n",
            Self::AuthTermination => b"CLIENT_ERROR bad command line termination\r\n",
            Self::MemoryLimitTooLarge => b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n",
        }
    }
}
