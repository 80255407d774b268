//! The arguments of `export` and `import`.

use std::path::PathBuf;

use clap::Args;

use super::{CastArgs, TableFilter};

// The help text of `export`, below its options.
pub(crate) const EXPORT: &str = "Writes {\"table\": [{\"column\": value, ...}, ...], ...}, a row a line, as of one moment; nothing is locked or changed. FILE must
not be there yet, and is there when it is complete.

Example: lockkeeper export data_export.json";

// The help text of `import`, below its options.
pub(crate) const IMPORT: &str = "The schema is brought to head first. The tables must be empty. The file is read to its end before anything is changed;
meanwhile its rows are kept in a temporary database in TMPDIR. All rows are there in the end, compared, or none. --cast and
--timezone are for PostgreSQL: into SQLite nothing is cast.

Example: DATABASE_URL=postgresql://app@db/app lockkeeper import data_export.json";

/// The arguments of `export`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Export {
    /// The file to be written; - is standard output
    pub(crate) file: PathBuf,
    /// The tables.
    #[command(flatten)]
    pub(crate) tables: TableFilter,
}

/// The arguments of `import`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Import {
    /// The file to be read
    pub(crate) file: PathBuf,
    /// The tables, and the casts of their values.
    #[command(flatten)]
    pub(crate) casts: CastArgs,
    /// The number of bad values after which it gives up
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_errors: u32,
}
