//! The failures of a transfer and of the commands like it: what is logged of them, and the stage that they belong to.

use std::path::Path;

use crate::cli::{BadValueArg, Transfer};
use crate::database::DatabaseError;
use crate::error::{Cause, Failure, Stage, TransferError};
use crate::stage::backup::is_on_container_layer;
use crate::transfer::plan::{self, MappingError, PlanTarget, TransferOptions, TransferPlan};
use crate::transfer::source::SourceContents;

/// Logs every problem of the transfer if there are several, because the last line of the log has only the first.
pub(super) fn log_problems(failure: Failure) -> Failure {
    if let Cause::Transfer(error) = &failure.cause {
        let messages = error.found();
        let logged = if messages.len() > 1 { messages } else { Vec::new() };
        logged.iter().for_each(|line| tracing::error!("{line}"));
    }
    failure
}

/// Logs every problem of the transfer, and warns when the limit was reached and there may be more.
pub(super) fn log_bad_values(failure: Failure, max_errors: u32) -> Failure {
    let failure = log_problems(failure);
    if matches!(&failure.cause, Cause::Transfer(TransferError::Bad { found: bad_values, .. } | TransferError::Unstorable(bad_values)) if bad_values.len() >= max_errors as usize)
    {
        tracing::warn!("gave up after {max_errors} bad values: there may be more, --max-errors raises that");
    }
    failure
}

/// Logs every problem of the transfer, and the advice that fits the options of the command line.
pub(super) fn log_advice(failure: Failure, args: &Transfer) -> Failure {
    let failure = log_bad_values(failure, args.max_errors);
    match &failure.cause {
        Cause::Transfer(TransferError::Refused { .. } | TransferError::Violated(_))
            if args.on_error == BadValueArg::Skip =>
        {
            tracing::warn!(
                "--on-error skip leaves out values that do not fit and rows without a parent, not rows that a check refuses or that are there twice"
            );
        }
        Cause::Transfer(TransferError::Reported { file, .. } | TransferError::LeftOut { file, .. }) => {
            warn_of_the_layer(file);
        }
        _ => {}
    }
    failure
}

/// Warns when the file is in the container's own layer, because it is removed with the container.
fn warn_of_the_layer(file: &Path) {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    if is_on_container_layer(directory.unwrap_or(Path::new("."))) {
        tracing::warn!("{} is in the container's own layer and goes with it: mount a volume there", file.display());
    }
}

/// Maps the tables and columns of the source to those of the target.
pub(super) fn planned<T: PlanTarget>(
    contents: &SourceContents,
    targets: &[T],
    options: &TransferOptions,
) -> Result<TransferPlan<T>, Failure> {
    plan::plan(contents, targets, options).map_err(mapping_failure)
}

/// Turns errors of the mapping into a failure of the plan stage.
pub(super) fn mapping_failure(errors: Vec<MappingError>) -> Failure {
    Failure::new(Stage::Plan, Cause::Transfer(TransferError::Unmapped(errors)))
}

/// Turns an error of the database into a failure of the plan stage.
pub(super) fn planning_failure(fault: DatabaseError) -> Failure {
    Failure::new(Stage::Plan, Cause::Database(fault))
}

/// Makes a failure of an invalid command line.
pub(super) fn usage(reason: String) -> Failure {
    Failure::new(Stage::Configure, Cause::Usage(reason))
}
