//! Tests of the command line for shells and people: help with working examples, and completion scripts.

use lockkeeper::cli;

use crate::support::binary::Run;
use crate::support::process::{clean_command, must_run};

/// Returns the words that bash makes of a command line that begins with `lockkeeper`.
#[track_caller]
fn words(line: &str) -> Vec<String> {
    // The rest belongs to another program, or to the shell.
    let ends = [" && ", " > ", " | "].iter().filter_map(|sign| line.find(sign));
    let own = &line[..ends.min().unwrap_or(line.len())];
    let mut bash = clean_command("bash");
    bash.args(["-c", &format!("lockkeeper() {{ printf '%s\\n' lockkeeper \"$@\"; }}\n{own}")]);
    must_run(bash).lines().map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_ends_with_a_valid_example() {
    let verbs: Vec<String> = cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    assert!(verbs.len() > 10, "{verbs:?}");
    for verb in verbs {
        let finished = Run::new().args(["help", &verb]).output();
        let last = finished.expect_code(0).stdout.trim_end().lines().last().unwrap_or_default();
        let example = last.strip_prefix("Example: ").unwrap_or_else(|| panic!("no example: {finished}"));
        let words = words(example);
        assert_eq!(words[..2], ["lockkeeper".to_owned(), verb], "{example}");
        if let Err(error) = cli::parse(words.into_iter().map(Into::into)) {
            panic!("{example}: {error}");
        }
    }
}

/// Creates a run whose directory has the completion script of a shell.
fn with_script(shell: &str) -> Run {
    let run = Run::new();
    let finished = run.clone().args(["completions", shell]).output();
    finished.expect_code(0).says("the completion script is on standard output");
    run.file("script", finished.stdout)
}

/// Returns what a program prints about the script.
#[track_caller]
fn output_of(run: &Run, program: &str, arguments: &[&str]) -> String {
    let mut command = clean_command(program);
    // Shells write into HOME.
    command.args(arguments).current_dir(run.dir()).env("HOME", run.dir()).env("TERM", "dumb");
    must_run(command)
}

#[test]
fn bash_completes_commands_flags_and_values() {
    // The function is called as bash calls it: with the command, the word and the previous word.
    const CALL: &str = r#"
        source ./script
        function=$(complete -p lockkeeper | sed 's/.* -F \([^ ]*\) .*/\1/')
        COMP_WORDS=(lockkeeper "$@") COMP_CWORD=$#
        COMP_LINE=${COMP_WORDS[*]} COMP_POINT=${#COMP_LINE}
        "$function" lockkeeper "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[*]}"
    "#;
    let run = with_script("bash");
    for (line, completions) in [
        (&["down"][..], "downgrade"),
        (&["re"], "revision repair restore"),
        (&["upgrade", "--pl"], "--plan"),
        (&["check", "--off"], "--offline"),
        (&["completions", "z"], "zsh"),
        (&["help", "mer"], "merge"),
    ] {
        let reply = output_of(&run, "bash", &[&["-c", CALL, "bash"], line].concat());
        let found: Vec<&str> = reply.split_whitespace().filter(|word| word.starts_with(line[line.len() - 1])).collect();
        assert_eq!(found, completions.split(' ').collect::<Vec<_>>(), "{line:?}");
    }
}

#[test]
fn fish_completes_commands_with_descriptions() {
    let run = with_script("fish");
    output_of(&run, "fish", &["--no-execute", "script"]);
    let complete = |line: &str| output_of(&run, "fish", &["-c", &format!("source script; complete -C '{line}'")]);
    assert_eq!(complete("lockkeeper down"), "downgrade\tUndo revisions, newest first, after a backup\n");
    assert!(complete("lockkeeper check --off").starts_with("--offline\t"));
}

#[test]
fn zsh_accepts_the_script() {
    let run = with_script("zsh");
    output_of(&run, "zsh", &["-n", "script"]);
    let loaded = "autoload -U compinit && compinit -u -d dump && source ./script && print $_comps[lockkeeper]";
    assert_eq!(output_of(&run, "zsh", &["-fc", loaded]), "_lockkeeper\n");
}

/// A truncated script would be loaded by every shell from then on.
#[test]
fn a_script_that_cannot_be_written_is_a_failure() {
    let run = Run::new().args(["completions", "bash"]);
    let full = run.under(["sh", "-c", "exec \"$0\" \"$@\" > /dev/full"]).output();
    full.expect_code(74).says("the answer was not printed to its end").says("write it to a file");
}

#[test]
fn an_unsupported_shell_is_a_usage_error_that_names_the_supported_ones() {
    for shell in ["tcsh", "powershell", ""] {
        let finished = Run::new().args(["completions", shell]).output();
        finished.expect_code(64).says("bash, zsh, fish").says("nothing was changed");
        assert_eq!(finished.stdout, "");
    }
}
