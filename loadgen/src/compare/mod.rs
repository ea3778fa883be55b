//! `loadgen compare`: two or more servers, in turn, under the same load.

use std::fmt;

use clap::Args;

/// Starts servers in turn, pinned and on free ports, runs the same load on each, and reports the ratios.
#[derive(Debug, Args)]
pub(crate) struct CompareOptions {}

/// Why a comparison could not take place; one line.
#[derive(Debug)]
pub(crate) struct CompareError(pub(crate) String);

impl fmt::Display for CompareError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Runs the comparison and prints its tables; `false` if a run was not flawless.
pub(crate) fn compare(_options: &CompareOptions) -> Result<bool, CompareError> {
    Err(CompareError("there is no comparison yet".to_string()))
}
