//! Signals and everything else that is not the data path.

pub mod certificates;
pub mod log;
pub mod signals;
pub mod users;
