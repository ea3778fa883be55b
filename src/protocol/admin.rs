//! What administrative commands ask for (PROTOCOL §5), whatever their dialect.

/// Size classes that a dump is to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClassSet(u64);

impl ClassSet {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);
    /// The highest number that names one.
    pub const HIGHEST: u8 = 63;

    /// No class yet.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// With this class too; above [`ClassSet::HIGHEST`] there is none.
    #[must_use]
    pub const fn with(self, class: u8) -> Self {
        if class > Self::HIGHEST { self } else { Self(self.0 | 1 << class) }
    }

    /// Whether items of this class are to be shown.
    pub const fn has(self, class: u8) -> bool {
        class > Self::HIGHEST || self.0 & (1 << class) != 0
    }
}

/// How a dump shows an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DumpFormat {
    /// `lru_crawler metadump`: all there is to know but the value.
    Facts,
    /// `lru_crawler mgdump`: a request that fetches it.
    Requests,
    /// `stats cachedump`: key, length and end.
    Cache,
}

/// A dump of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DumpRequest {
    /// How items are shown.
    pub format: DumpFormat,
    /// Which.
    pub classes: ClassSet,
    /// How many at the most.
    pub items_max: u32,
}

/// Kinds of events that a watcher asks for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WatchKinds(u16);

impl WatchKinds {
    /// Look-ups.
    pub const FETCHERS: Self = Self(1);
    /// Stores.
    pub const MUTATIONS: Self = Self(2);
    /// Evictions.
    pub const EVICTIONS: Self = Self(4);
    /// Connections that come and go.
    pub const CONNECTIONS: Self = Self(8);
    /// Deletes.
    pub const DELETIONS: Self = Self(16);
    /// What memcached can show and what does not happen here: the server has no such parts.
    pub const NOTHING: Self = Self(32);

    /// The kind of this name, as `watch` takes it.
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"fetchers" => Self::FETCHERS,
            b"mutations" => Self::MUTATIONS,
            b"evictions" => Self::EVICTIONS,
            b"connevents" => Self::CONNECTIONS,
            b"deletions" => Self::DELETIONS,
            b"rawcmds" | b"sysevents" | b"proxyreqs" | b"proxyevents" | b"proxyuser" => Self::NOTHING,
            _ => return None,
        })
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether some are asked for by both.
    pub const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// `stats detail`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Count by prefix from now on, or no more.
    Switch(bool),
    /// Show what was counted.
    Dump,
}

/// `debugtime`: what a test does to the server's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeShift {
    /// It stands still.
    Pause,
    /// It goes on.
    Resume,
    /// It jumps forward by so many seconds.
    Jump(u32),
}

/// A request of those who look after a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admin {
    /// Show keys.
    Dump(DumpRequest),
    /// `stats detail`.
    Detail(Detail),
    /// `watch`.
    Watch(WatchKinds),
    /// `refresh_certs`.
    RefreshCertificates,
    /// `debugtime`.
    ShiftTime(TimeShift),
    /// About a part that is not here: the parser knows the answer.
    Settled(&'static [u8]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = ClassSet::empty().with(3).with(63).with(64);
        let held: Vec<u8> = (0..64).filter(|&class| set.has(class)).collect();
        assert_eq!(held, [3, 63]);
        assert!((0..=255).all(|class| ClassSet::ALL.has(class)));
        let kinds = WatchKinds::FETCHERS.and(WatchKinds::DELETIONS);
        assert!(kinds.meets(WatchKinds::DELETIONS) && !kinds.meets(WatchKinds::MUTATIONS));
    }
}
