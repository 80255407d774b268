//! `heads`: the folder's heads, without a database.

use super::Form;
use crate::config::Config;
use crate::error::{Cause, Failure, Stage};
/// Not there yet.
///
/// # Errors
/// Always.
pub fn heads(config: &Config, form: Form) -> Result<String, Failure> {
    let _ = (config, form);
    Err(Failure::new(Stage::Configure, Cause::Internal("not there yet".into())))
}
