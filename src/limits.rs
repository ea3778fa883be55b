//! Every maximum in one file, with the relations between them checked at compile time. Bytes unless the name says
//! otherwise.

/// Longest key (PROTOCOL §2).
pub const KEY_LEN_MAX: usize = 250;
/// Largest `<bytes>` a storage line may announce (PROTOCOL §3).
pub const VALUE_LEN_ANNOUNCED_MAX: u64 = 2_147_483_645;
/// Largest body that the header of a binary packet may announce (PROTOCOL §7).
pub const PACKET_BODY_LEN_MAX: usize = 1 << 30;
/// Exptimes up to this are relative (PROTOCOL §2): 30 days.
pub const EXPTIME_RELATIVE_MAX_S: i64 = 2_592_000;

/// Most words of a meta line, command and key included (PROTOCOL §4).
pub const META_TOKENS_MAX: usize = 20;
/// Longest opaque of a meta request, without its letter (PROTOCOL §4).
pub const META_OPAQUE_LEN_MAX: usize = 31;

/// A line this long without an end closes the connection, unless it is a `get` or `gets` (PROTOCOL §1).
pub const LINE_LEN_MAX: usize = 2048;
/// A `get`, `gets` line may grow to this, then it is refused with an error and skipped to its end.
pub const GET_LINE_LEN_MAX: usize = 8 << 20;
/// Leading blanks looked through for `get ` and `gets ` in a line without an end (PROTOCOL §1).
pub const LEADING_BLANKS_MAX: usize = 100;

/// Longest name and password that an unauthenticated client may send, or message of a SASL mechanism (PROTOCOL §9).
pub const AUTH_TOKEN_LEN_MAX: usize = 16 << 10;

/// Longest name, and longest password, of a user.
pub const AUTH_NAME_LEN_MAX: usize = 255;
/// Most users of a password file: each attempt to authenticate is compared with all of them.
pub const AUTH_USERS_MAX: usize = 256;
/// Longest first message of SCRAM: most of it is kept until the next one.
pub const SCRAM_FIRST_LEN_MAX: usize = 2048;
/// How often SCRAM hashes a password: what RFC 7677 asks for at least.
pub const SCRAM_ITERATIONS: u32 = 4096;
/// The first failed attempt to authenticate of a connection is answered after this many milliseconds, each further one
/// after twice as many...
pub const AUTH_DELAY_MIN_MS: u64 = 100;
/// ... up to this.
pub const AUTH_DELAY_MAX_MS: u64 = 2000;

/// From this size up a value lives in memory of its own and is sent without a copy.
pub const SHARED_VALUE_LEN_MIN: usize = 16 << 10;
/// What a value that arrives and has no memory asks all shards for, at least: as much as has arrived already if that is
/// more, so that an announcement alone costs the others little.
pub const VALUE_WISH_MIN: usize = 1 << 20;
/// A value that arrives waits so many milliseconds for memory before it is refused.
pub const VALUE_WAIT_MS: u64 = 5000;

/// Reply bytes a connection may have waiting before its requests are no longer executed. The replies of the requests
/// already under way to other cores, or one window of a multi-get, may come on top; large values by handle.
pub const OUTPUT_BACKLOG_MAX: usize = 1 << 20;
/// Input a connection may have waiting unparsed while it is not being read, beyond the line or value in progress.
pub const INPUT_BACKLOG_MAX: usize = 16 << 10;
/// Requests one connection may have on their way to other cores.
pub const OUTSTANDING_PER_CONNECTION_MAX: usize = 256;
/// Fewer reply bytes wait for a connection's letters to come home, so that all goes in one send.
pub const HELD_BACK_MAX: usize = 16 << 10;
/// Gets of one pipeline that travel to other cores together.
pub const BATCH_GETS_MAX: usize = 64;
/// Keys of one multi-get that are looked up at a time.
pub const MULTIGET_WINDOW_KEYS: usize = 64;
/// Requests, or keys of a multi-get, that a connection runs before others get their turn (`-R` changes it).
pub const REQUESTS_PER_TURN: usize = 512;

/// What a shard shows of a dump at a time, one step of its walk more at the most.
pub const DUMP_LETTER_LEN: usize = 16 << 10;
/// A dump goes on when less than this waits for its client: with the letter under way 64 KiB are in flight.
pub const DUMP_BACKLOG_MAX: usize = 32 << 10;
/// Lines that a core keeps for a watcher.
pub const WATCH_RING_LEN: usize = 64 << 10;
/// A watcher is sent no more while this waits for it.
pub const WATCH_BACKLOG_MAX: usize = 64 << 10;
/// Watchers connected to one core.
pub const WATCHERS_PER_CORE_MAX: usize = 20;
/// A core keeps no lines for a watcher that has not asked for so long, in milliseconds.
pub const WATCH_LEASE_MS: u64 = 5000;
/// Prefixes of keys that are counted.
pub const PREFIXES_MAX: usize = 65_536;

/// Datagrams of a reply are at most this long, header included (PROTOCOL §8).
pub const UDP_DATAGRAM_LEN_MAX: usize = 1400;
/// The reply to one datagram, all its own datagrams together and without their headers (`-o udp_reply_max`).
pub const UDP_REPLY_MAX: usize = 64 << 10;
/// What `-o udp_reply_max` may be.
pub const UDP_REPLY_MAX_RANGE: std::ops::RangeInclusive<usize> = 1392..=1 << 20;
/// Datagrams that one core answers at a time; more wait in their buffers, and then in the kernel.
pub const UDP_CONVERSATIONS_MAX: usize = 128;
/// A datagram that is not answered within this many milliseconds never is.
pub const UDP_CONVERSATION_MS_MAX: u64 = 2000;

/// A TLS handshake must be over after this many milliseconds.
pub const TLS_HANDSHAKE_MS_MAX: u64 = 10_000;
/// Plaintext that is encrypted for one connection at a time; the rest waits until that is sent.
pub const TLS_OUTPUT_MAX: usize = 256 << 10;

/// Keys whose items are brought near the CPU together before the first of them is looked up.
pub const LOOK_AHEAD_KEYS: usize = 16;

/// Evicted items that a shard keeps for whoever watches, between two looks.
pub const EVICTIONS_KEPT_MAX: usize = 1024;

/// Letters one core may have on their way to another.
pub const CREDITS: usize = 1024;
/// Room in the ring from one core to another: requests on the way there and replies on the way home never exceed it.
pub const MESH_RING_LEN: usize = 2 * CREDITS;
/// Letters one core takes from another before the next has its turn.
pub const MESH_BATCH_LEN_MAX: usize = 256;
/// Letters to a core that sleeps which a core serves at its desk rather than wake it.
pub const ERRAND_LETTERS_MAX: usize = 64;
/// Bytes of their requests: some hundreds of keys, which take about as long as waking the core and its reply. With more than
/// that its help is worth it. The owner may have to wait for one letter.
pub const ERRAND_BYTES_MAX: usize = 16 << 10;
/// So often in a turn a core looks for letters to serve itself: what they bring home may lead to more.
pub const ERRAND_ROUNDS_MAX: usize = 4;
/// So often an owner looks whether it has back what it lent before it waits: a loan takes some microseconds, and waking a
/// thread as long.
pub const LOAN_LOOKS_MAX: usize = 400;
/// Letters a core keeps for reuse.
pub const LETTERS_KEPT_MAX: usize = CREDITS;
/// Batches of gets a core keeps for reuse.
pub const BATCHES_KEPT_MAX: usize = 64;
/// Retrievals of many keys a core keeps for reuse.
pub const MULTIGETS_KEPT_MAX: usize = 64;
/// Reply buffers a core keeps for reuse.
pub const REPLY_BUFFERS_KEPT_MAX: usize = 256;
/// Most executors of one process.
pub const SHARDS_MAX: usize = 256;

/// What `--ring-entries` may be: at most what the kernel makes (`IORING_MAX_ENTRIES`).
pub const RING_ENTRIES_RANGE: std::ops::RangeInclusive<u32> = 64..=32_768;
/// What `--recv-buffers` may be: from one for each of a few connections to what a buffer ring can hold.
pub const RECV_BUFFERS_RANGE: std::ops::RangeInclusive<u16> = 16..=32_768;
/// Longest `--spin-us`, in microseconds: a core that spins for longer does not mean to sleep.
pub const SPIN_US_MAX: u32 = 1_000_000;
/// Longest `--busy-poll`, in microseconds.
pub const BUSY_POLL_US_MAX: u32 = 10_000;

/// Smallest share of `-m` that a core is started for; below it fewer cores start.
pub const MEMORY_PER_CORE_MIN: usize = 4 << 20;
/// Smallest memory limit at run time, in MiB (`cache_memlimit`).
pub const MEMORY_LIMIT_MB_MIN: u64 = 8;
/// Smallest and largest `-I`.
pub const ITEM_SIZE_MAX_RANGE: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 30;

const _: () = {
    assert!(MESH_RING_LEN >= 2 * CREDITS, "a pump must never wait on a send");
    assert!(OUTSTANDING_PER_CONNECTION_MAX <= CREDITS, "one connection must be able to get on alone");
    assert!(BATCH_GETS_MAX <= u8::MAX as usize, "a letter says in a byte how many it carries");
    assert!(MULTIGET_WINDOW_KEYS <= u8::MAX as usize + 1, "a byte tells the owners of a window's keys");
    assert!(
        MULTIGET_WINDOW_KEYS <= OUTSTANDING_PER_CONNECTION_MAX,
        "a window's letters fit what a connection may post"
    );
    assert!(
        UDP_REPLY_MAX_RANGE.end().div_ceil(UDP_DATAGRAM_LEN_MAX - 8) <= u16::MAX as usize,
        "a total fits its field"
    );
    assert!(TLS_OUTPUT_MAX >= 16 << 10, "a record of TLS is whole");
    assert!(LINE_LEN_MAX <= u16::MAX as usize, "the flags of a meta line fit what a letter says of them");
    assert!(DUMP_LETTER_LEN + DUMP_BACKLOG_MAX <= 64 << 10 && DUMP_BACKLOG_MAX < OUTPUT_BACKLOG_MAX);
    assert!(KEY_LEN_MAX < LINE_LEN_MAX && KEY_LEN_MAX <= u8::MAX as usize, "a key's length fits a byte");
    assert!(AUTH_NAME_LEN_MAX <= u8::MAX as usize, "a name's length fits a byte");
    assert!(LINE_LEN_MAX < INPUT_BACKLOG_MAX && INPUT_BACKLOG_MAX < OUTPUT_BACKLOG_MAX);
};
