//! Tests of the guides in `docs/`: their printed output is the output of the product.

use std::fs;
use std::path::Path;

use crate::support::guide::{Workspace, lines};

/// Removes what differs from run to run: times, durations, the host's name at the end, and the width of columns.
fn without_variable_parts(text: &str) -> Vec<String> {
    let word = |word: &str| match word {
        word if word.len() == 9 && word.ends_with('Z') && word.contains(':') => "TIME".to_owned(),
        word if word.len() == 10 && word.starts_with("20") && word.contains('-') => "DAY".to_owned(),
        word => word.to_owned(),
    };
    let line = |line: &str| {
        let mut words: Vec<String> = line.split_whitespace().map(word).collect();
        if let Some(at) = words.iter().position(|word| word == "ms") {
            words[at - 1] = "N".into();
            words.truncate(at + 1);
        }
        words.join(" ")
    };
    text.lines().map(line).collect()
}

#[test]
fn the_commands_run_as_they_are_printed() {
    let workspace = Workspace::with_example();
    for line in lines("commands.md") {
        let (code, out, log) = workspace.shell(&line.command, None);
        assert_eq!(code, line.code, "{}\n{out}{log}", line.command);
        assert_eq!(without_variable_parts(&out), without_variable_parts(&line.printed), "{}\n{log}", line.command);
    }
}

/// Every key of the JSON documents is described in the guide.
#[test]
fn every_key_of_the_json_is_explained() {
    let workspace = Workspace::with_example();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = format!("--dir {}", root.join("migrations").display());
    let guide = fs::read_to_string(root.join("docs/commands.md")).expect("the guide");
    let commands =
        ["upgrade --plan", "upgrade 1", "downgrade -1", "upgrade", "history", "current", "heads", "check", "backups"];
    for command in commands {
        let (code, out, log) = workspace.shell(&format!("lockkeeper {command} --json {dir}"), None);
        assert_eq!(code, 0, "{command}: {log}");
        let keys = out.split('"').skip(1).step_by(2).zip(out.split('"').skip(2).step_by(2));
        for (key, _) in keys.filter(|(_, after)| after.trim_start().starts_with(':')) {
            let manifest = command == "backups" && !["file", "verified", "manifest"].contains(&key);
            let is_described = guide.contains(&format!("`{key}`")) || guide.contains(&format!("\"{key}\""));
            assert!(is_described || manifest, "{command}: {key} is not explained");
        }
    }
}

/// Every row of the failure modes names existing tests.
#[test]
fn every_failure_mode_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/failure-modes.md")).expect("the failure modes");
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what goes wrong"));
    let mut count = 0;
    for row in rows {
        let tests: Vec<&str> = row.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect();
        assert!(!tests.is_empty(), "no test is named: {row}");
        for test in tests {
            let (module, name) = test.rsplit_once("::").expect("a module and a name");
            let module = module.replace("::", "/");
            let source = ["it", "containers"].map(|suite| root.join(format!("tests/{suite}/{module}.rs")));
            let source = source.iter().find_map(|file| fs::read_to_string(file).ok()).expect(test);
            let mut words = source.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(words.any(|word| word == name), "{test}");
            count += 1;
        }
    }
    assert!(count > 40, "only {count} tests are named");
}
