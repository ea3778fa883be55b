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
    /// `refresh_certs` without TLS.
    TlsNotEnabled,
    /// `shutdown` with an unknown argument.
    InvalidShutdownMode,
    /// A `get` line beyond [`crate::limits::GET_LINE_LEN_MAX`]: ours, memcached knows no limit.
    LineTooLong,
    /// `cache_memlimit` below 8 MiB.
    MemoryLimitTooSmall,
    /// `cache_memlimit` in bytes instead of megabytes.
    MemoryLimitTooLarge,
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
            Self::TlsNotEnabled => b"SERVER_ERROR TLS is not enabled\r\n",
            Self::InvalidShutdownMode => b"CLIENT_ERROR invalid shutdown mode\r\n",
            Self::LineTooLong => b"CLIENT_ERROR line too long\r\n",
            Self::MemoryLimitTooSmall => b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n",
            Self::MemoryLimitTooLarge => b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n",
        }
    }
}
