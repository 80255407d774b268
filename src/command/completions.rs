//! `completions`: scripts that complete our words in a shell.

use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

use crate::cli::{self, Shell};
use crate::report;

/// Prints the script of a shell on standard output.
pub fn print(shell: Shell) -> String {
    let mut words = cli::words();
    let name = words.get_name().to_owned();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(Bash, &mut words, name, &mut script),
        Shell::Zsh => generate(Zsh, &mut words, name, &mut script),
        Shell::Fish => generate(Fish, &mut words, name, &mut script),
    }
    report::print(&String::from_utf8_lossy(&script));
    "the completion script is on standard output".into()
}
