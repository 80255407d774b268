//! `stamp`: records without running.

use crate::config::Config;
use crate::entrypoint::Settled;
use crate::error::{Cause, Failure, Stage};
use crate::revision::Target;
use crate::signal::Cancel;
/// Not there yet.
///
/// # Errors
/// Always.
pub async fn stamp(config: &Config, target: &Target, cancel: &Cancel) -> Result<Settled, Failure> {
    let _ = (config, target, cancel);
    Err(Failure::new(Stage::Configure, Cause::Internal("not there yet".into())))
}
