//! The arguments of `adopt`.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::layout::{LAYOUTS, Layout};
use crate::revision::other_tools;

// The help text of `adopt`, below its options.
pub(crate) const ADOPT: &str = "Each row of the other tool's history table has to be that of a revision of the directory, by its number, version or name;
nothing is recorded otherwise. No script runs, and the other tool's table stays as it is. End the other tool first.

Example: lockkeeper adopt --to sqlx --from golang-migrate";

/// The arguments of `adopt`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Adopt {
    /// The layout of the directory, whose history table gets the rows; it goes before LOCKKEEPER_LAYOUT
    #[arg(long, value_name = "LAYOUT", conflicts_with = "layout")]
    #[arg(value_parser = PossibleValuesParser::new(LAYOUTS.map(Layout::name)))]
    pub(crate) to: String,
    /// The tool whose history is recorded [default: the only one that the database has]
    #[arg(long, value_name = "TOOL", ignore_case = true, hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(other_tools::names()))]
    pub(crate) from: Option<String>,
    /// Show what would be recorded instead
    #[arg(long)]
    pub(crate) plan: bool,
}
