//! One conversation.
