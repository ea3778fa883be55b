//! The data plane: one executor per core.
