//! Prints the `transfer` command line that a person is advised to run next, quoted for a shell.

use std::path::Path;

use crate::cli::{BadValueArg, CastArgs, Transfer};
use crate::config::DatabaseConfig;
use crate::transfer::flag;

/// Logs one command line with every cast that was advised. It logs nothing for a single cast, which the error message
/// contains already.
pub(crate) fn advise<'c>(config: &DatabaseConfig, args: &Transfer, casts: impl ExactSizeIterator<Item = &'c String>) {
    if casts.len() > 1 {
        tracing::error!("with all of these casts: {}", command_with_casts(config, args, casts));
    }
}

/// Returns the present command line with these casts added. `--url` is left out, because it may contain a secret.
fn command_with_casts<'c>(config: &DatabaseConfig, args: &Transfer, casts: impl Iterator<Item = &'c String>) -> String {
    let mut words = vec!["lockkeeper transfer".to_owned()];
    if args.write_revision {
        words.push("--write-revision".into());
    }
    words.push(flag("--from", &args.rows.from));
    if config.dir != Path::new("migrations") {
        words.push(flag("--dir", &config.dir.to_string_lossy()));
    }
    match args.on_error {
        BadValueArg::Stop => {}
        BadValueArg::Report => words.push("--on-error report".into()),
        BadValueArg::Skip => words.push("--on-error skip".into()),
    }
    words.extend(args.rejects.iter().map(|file| flag("--rejects", &file.to_string_lossy())));
    words.extend(flags(&args.rows.casts));
    words.extend(casts.map(|cast| flag("--cast", cast)));
    words.join(" ")
}

/// Returns the flags that select tables and determine casts, quoted for a shell.
pub(crate) fn flags(args: &CastArgs) -> Vec<String> {
    let mut flags: Vec<String> = Vec::new();
    for (name, values) in [("--only", &args.tables.only), ("--exclude", &args.tables.exclude), ("--cast", &args.cast)] {
        flags.extend(values.iter().map(|value| flag(name, value)));
    }
    if args.timezone != "UTC" {
        flags.push(flag("--timezone", &args.timezone));
    }
    flags
}
