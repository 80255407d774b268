//! The settings of a script in the file `<script>.conf` beside it.

use crate::layout::TextFiles;

/// The settings of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScriptConfig {
    /// The answer of the file to whether the script runs in a transaction; `None` if it has none.
    pub(super) execute_in_transaction: Option<bool>,
    /// False if placeholders are not replaced.
    pub(super) placeholder_replacement: bool,
}

impl Default for ScriptConfig {
    fn default() -> ScriptConfig {
        ScriptConfig { execute_in_transaction: None, placeholder_replacement: true }
    }
}

/// Reads the settings of a script.
///
/// # Errors
/// Fails with a line that begins with the name of the file.
pub(super) fn read(files: &mut dyn TextFiles, file: &str) -> Result<ScriptConfig, String> {
    let mut text = String::new();
    let read = files.read(file, &mut |_| {}, &mut |piece| {
        text.push_str(piece);
        Ok(())
    });
    read.map_err(|problem| format!("{file}{problem}"))?;
    let mut config = ScriptConfig::default();
    for (number, line) in text.lines().enumerate() {
        config.line(line.trim()).map_err(|problem| format!("{file}:{}: {problem}", number + 1))?;
    }
    Ok(config)
}

impl ScriptConfig {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (key, value) = line.split_once('=').map_or((line, ""), |(key, value)| (key.trim(), value.trim()));
        let flag = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{key} has to be true or false")),
        };
        match key {
            "executeInTransaction" => self.execute_in_transaction = Some(flag()?),
            "placeholderReplacement" => self.placeholder_replacement = flag()?,
            _ => return Err(format!("Lockkeeper does not have the setting {key} of Flyway")),
        }
        Ok(())
    }
}
