//! The data plane: one executor per core.

pub mod listener;
pub mod startup;
