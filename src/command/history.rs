//! `history`: all revisions with their state.

use super::Form;
use crate::config::Config;
use crate::error::{Cause, Failure, Stage};
use crate::signal::Cancel;
/// Not there yet.
///
/// # Errors
/// Always.
pub async fn history(config: &Config, form: Form, cancel: &Cancel) -> Result<String, Failure> {
    let _ = (config, form, cancel);
    Err(Failure::new(Stage::Configure, Cause::Internal("not there yet".into())))
}
