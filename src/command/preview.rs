//! `--plan` and `--sql`: what would run.

use super::{Answer, Form};
use crate::cli::Look;
use crate::config::Config;
use crate::error::{Cause, Failure, Stage};
use crate::revision::Direction;
use crate::signal::Cancel;
/// Not there yet.
///
/// # Errors
/// Always.
pub async fn preview(
    config: &Config,
    target: Option<&str>,
    direction: Direction,
    look: Look,
    form: Form,
    cancel: &Cancel,
) -> Result<Answer, Failure> {
    let _ = (config, target, direction, look, form, cancel);
    Err(Failure::new(Stage::Configure, Cause::Internal("not there yet".into())))
}
