//! `repair`: accepts edited files.

use crate::config::Config;
use crate::error::{Cause, Failure, Stage};
use crate::signal::Cancel;
/// Whether the user has agreed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    Given,
    Ask,
}

/// Not there yet.
///
/// # Errors
/// Always.
pub async fn repair(config: &Config, consent: Consent, cancel: &Cancel) -> Result<String, Failure> {
    let _ = (config, consent, cancel);
    Err(Failure::new(Stage::Configure, Cause::Internal("not there yet".into())))
}
