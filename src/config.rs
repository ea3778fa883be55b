//! Command line options to a checked configuration.
