//! `history`: all revisions with their state. Reads only, takes no lock.

use std::io;

use super::Form;
use super::survey::Survey;
use crate::config::Config;
use crate::error::{Failure, Stage};
use crate::report::{self, Colour};
use crate::signal::Cancel;

/// Prints every revision of the folder and of the database, oldest first.
///
/// # Errors
/// As [`Survey::take`]; an output that takes no more.
pub async fn history(config: &Config, form: Form, cancel: &Cancel) -> Result<String, Failure> {
    let survey = Survey::take(config, cancel).await?;
    let entries = survey.entries();
    let text = match form {
        Form::Json => survey.document(&entries),
        Form::Lines => survey.table(&entries, Colour::on(&io::stdout())),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok(survey.sum(&entries))
}
