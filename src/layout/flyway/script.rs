//! Flyway's scripts: their checksums, their placeholders, and whether they have a transaction.

use std::sync::Arc;

use super::config_file::{self, ScriptConfig};
use super::file_name::{CONFIG, FlywayFile, PROGRAM, classify};
use super::placeholders::Placeholders;
use crate::dialect::Dialect;
use crate::layout::TextFiles;
use crate::layout::tool_history::values::CRC_32;
use crate::revision::needed_mode::{NeededMode, ScriptNeeds};
use crate::revision::{Checksum, Fingerprint, Section, SectionOptions, TransactionMode};

/// Reads a script: its checksum, which is the CRC-32 of its lines without their ends, its placeholders, and its mode.
/// `config` is the file with its settings, if it has one.
pub(super) fn section(
    files: &mut dyn TextFiles,
    file: &str,
    config: Option<&str>,
    dialect: Dialect,
) -> Result<Section, String> {
    if matches!(classify(file), Some(FlywayFile::Versioned { is_program: true, .. })) {
        let options = Arc::new(SectionOptions { unsupported: Some(PROGRAM.into()), ..SectionOptions::default() });
        return Ok(Section {
            file: file.into(),
            options,
            fingerprint: Fingerprint([0; 32]),
            checksum: None,
            part: None,
        });
    }
    let config = config.map_or_else(|| Ok(ScriptConfig::default()), |config| config_file::read(files, config))?;
    let (mut sum, mut needs, mut placeholders) = (CRC_32.digest(), NeededMode::new(dialect), Placeholders::default());
    let fingerprint = files.read(file, &mut |_| {}, &mut |piece| {
        piece.split('\n').for_each(|part| sum.update(part.as_bytes()));
        needs.read(piece);
        placeholders.read(piece);
        Ok(())
    });
    let fingerprint = fingerprint.map_err(|problem| format!("{file}{problem}"))?;
    let mut options = SectionOptions::default();
    match mode(&needs.finish(), config) {
        Ok(mode) => options.mode = mode,
        Err(problem) => options.unsupported = Some(problem),
    }
    match placeholders.finish() {
        _ if !config.placeholder_replacement => {}
        Ok(found) => options.variables = found,
        Err(problem) => options.unsupported = Some(problem),
    }
    let checksum = Some(Checksum::new(sum.finalize().to_be_bytes()));
    Ok(Section { file: file.into(), options: Arc::new(options), fingerprint, checksum, part: None })
}

/// Returns the mode in which Flyway runs a script (`ParserSqlScript`).
///
/// # Errors
/// Fails with a sentence if some statements refuse transactions and others do not, and the settings do not decide.
fn mode(needs: &ScriptNeeds, config: ScriptConfig) -> Result<TransactionMode, String> {
    match (config.execute_in_transaction, needs.refuses, needs.accepts) {
        (Some(true), ..) | (None, None, _) => Ok(TransactionMode::Transaction),
        (Some(false), ..) | (None, Some(_), None) => Ok(TransactionMode::NoTransaction),
        (None, Some(refuses), Some(accepts)) => Err(format!(
            "line {}: only some of the statements refuse transactions: put this one into a migration of its own, or write executeInTransaction=false into a file of that name with {CONFIG} behind it",
            refuses.line.max(accepts.line)
        )),
    }
}

/// Returns the checksum of a text: the CRC-32 of its lines without their ends.
pub(super) fn checksum(text: &str) -> Checksum {
    let mut sum = CRC_32.digest();
    text.split('\n').for_each(|line| sum.update(line.as_bytes()));
    Checksum::new(sum.finalize().to_be_bytes())
}
