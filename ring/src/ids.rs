//! Names of connections, listeners and doorbells, and how they travel through the kernel and back.

/// One connection of one ring. A slot is reused after its connection is closed, a name is not: the generation tells a
/// late user of the old name from the slot's new owner (until 2^24 connections have used the same slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    pub(crate) const GENERATION_MASK: u32 = (1 << 24) - 1;

    pub(crate) fn new(index: u32, generation: u32) -> ConnId {
        debug_assert!(generation <= Self::GENERATION_MASK);
        ConnId { index, generation }
    }

    /// The slot: small, dense, and reused; fit to index a table of one's own.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// How many connections have used the slot before, modulo 2^24.
    pub fn generation(self) -> u32 {
        self.generation
    }

    pub(crate) fn token(self, op: Op) -> Token {
        Token((op as u64) << 56 | u64::from(self.generation) << 32 | u64::from(self.index))
    }
}

/// A listening socket given to [`Ring::listen`](crate::Ring::listen).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) u32);

/// A datagram socket given to [`Ring::bind_datagrams`](crate::Ring::bind_datagrams).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatagramSocketId(pub(crate) u32);

/// Another thread's doorbell given to [`Ring::add_doorbell`](crate::Ring::add_doorbell).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DoorbellId(pub(crate) usize);

/// Which operation a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    /// Cancellations and doorbells rung: they report only failures, and there is nothing to do about one.
    Ignored,
    Accept,
    /// The pause after an accept that failed for want of files or memory.
    AcceptPause,
    Receive,
    /// A send the kernel carries on with by itself when the socket has no room.
    Send,
    /// A send that is over when the call that submitted it returns, and reports only when it was not whole.
    SoftSend,
    Doorbell,
    /// Datagrams that come in.
    ReceiveFrom,
    /// A datagram on its way out; reports only when it was not sent.
    SendTo,
}

/// A submission's `user_data`: operation (8 bits), generation (24), index (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    /// For operations that do not belong to a connection.
    pub(crate) fn plain(op: Op, index: u32) -> Token {
        ConnId::new(index, 0).token(op)
    }

    pub(crate) fn op(self) -> Op {
        const OPS: [Op; 9] = [
            Op::Ignored,
            Op::Accept,
            Op::AcceptPause,
            Op::Receive,
            Op::Send,
            Op::SoftSend,
            Op::Doorbell,
            Op::ReceiveFrom,
            Op::SendTo,
        ];
        OPS.get((self.0 >> 56) as usize).copied().unwrap_or(Op::Ignored)
    }

    pub(crate) fn index(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or_default()
    }

    pub(crate) fn conn(self) -> ConnId {
        let generation = u32::try_from(self.0 >> 32).unwrap_or_default() & ConnId::GENERATION_MASK;
        ConnId::new(self.index(), generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_brings_back_what_went_in() {
        let sockets = [Op::Accept, Op::AcceptPause, Op::Receive, Op::Send, Op::SoftSend, Op::ReceiveFrom, Op::SendTo];
        for op in [Op::Ignored, Op::Doorbell].into_iter().chain(sockets) {
            for (index, generation) in [(0, 0), (u32::MAX, ConnId::GENERATION_MASK), (7, 9)] {
                let id = ConnId::new(index, generation);
                assert_eq!(id.token(op).op(), op);
                assert_eq!(id.token(op).conn(), id);
                assert_eq!(id.token(op).index(), index);
            }
        }
    }
}
