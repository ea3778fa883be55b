//! Bytes to requests and responses to bytes, a module per dialect.
