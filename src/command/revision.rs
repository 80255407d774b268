//! `revision` and `merge`: new files.

use crate::config::Config;
use crate::error::{Cause, Failure, Stage};

/// Not there yet.
///
/// # Errors
/// Always.
pub fn revision(config: &Config, message: &str) -> Result<String, Failure> {
    let _ = (config, message);
    Err(Failure::new(Stage::Configure, Cause::Internal("not there yet".into())))
}

/// Not there yet.
///
/// # Errors
/// Always.
pub fn merge(config: &Config, message: Option<&str>) -> Result<String, Failure> {
    let _ = (config, message);
    Err(Failure::new(Stage::Configure, Cause::Internal("not there yet".into())))
}
