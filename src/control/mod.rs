//! Signals and everything else that is not the data path.
