//! The console blocks of a guide, run as they are printed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::temporary_directory;

/// A command of a console block: a line that begins with `$ `.
#[derive(Debug)]
pub struct Line {
    pub command: String,
    /// The exit code of the comment `# ends 2`, or 0 without one.
    pub code: i32,
    /// The output that is printed below the command.
    pub printed: String,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// The info string of the fence: the language, and what a test does with the block.
    pub info: String,
    pub text: String,
}

impl Block {
    /// Returns the commands of a console block.
    #[track_caller]
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for line in self.text.lines() {
            let Some(command) = line.strip_prefix("$ ") else {
                let last = lines.last_mut().expect("a command before what it prints");
                // The command continues on this line.
                if last.command.ends_with(" &&") {
                    last.command.push_str(&format!("\n{line}"));
                    continue;
                }
                last.printed.push_str(line);
                last.printed.push('\n');
                continue;
            };
            let (command, code) = match command.split_once("  # ends ") {
                Some((command, code)) => (command, code.parse().expect("a code")),
                None => (command, 0),
            };
            lines.push(Line { command: command.into(), code, printed: String::new() });
        }
        lines
    }
}

/// Returns all blocks of a guide in `docs/`, in their order.
#[track_caller]
pub fn blocks(guide: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(guide);
    let text = fs::read_to_string(path).expect("a guide");
    let parts: Vec<&str> = text.split("```").collect();
    assert!(parts.len() % 2 == 1, "{guide}: a block has no end");
    let block = |part: &&str| {
        let (info, text) = part.split_once('\n').expect("a block");
        Block { info: info.into(), text: text.into() }
    };
    parts.iter().skip(1).step_by(2).map(block).collect()
}

/// Returns the commands of all console blocks of a guide in `docs/`.
#[track_caller]
pub fn lines(guide: &str) -> Vec<Line> {
    let blocks = blocks(guide);
    let lines: Vec<Line> = blocks.iter().filter(|block| block.info == "console").flat_map(Block::lines).collect();
    assert!(lines.len() >= 5, "{guide} has lost its commands: {lines:?}");
    lines
}

/// A working directory of a test, with `lockkeeper` on its PATH.
pub struct Workspace {
    directory: TempDir,
}

impl Workspace {
    pub fn new() -> Workspace {
        let directory = temporary_directory("guide");
        let place = Workspace { directory };
        place.program("lockkeeper", Path::new(env!("CARGO_BIN_EXE_lockkeeper")));
        place
    }

    /// Creates a workspace with DevOps Hub's `migrations/` and `.env`, as in a clone of this repository.
    pub fn with_example() -> Workspace {
        let place = Workspace::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(root.join(".env"), place.path().join(".env")).expect("a copy");
        for dialect in ["postgres", "sqlite"] {
            let directory = place.path().join("migrations").join(dialect);
            fs::create_dir_all(&directory).expect("a directory");
            for file in fs::read_dir(root.join("migrations").join(dialect)).expect("the example").flatten() {
                fs::copy(file.path(), directory.join(file.file_name())).expect("a copy");
            }
        }
        place
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn programs(&self) -> PathBuf {
        self.path().join("bin")
    }

    /// Puts a program on the PATH.
    pub fn program(&self, name: &str, path: &Path) {
        fs::create_dir_all(self.programs()).expect("a directory");
        symlink(path, self.programs().join(name)).expect("a link");
    }

    /// Runs a line in bash and returns its exit code, its standard output and its standard error.
    pub fn shell(&self, line: &str, url: Option<&str>) -> (i32, String, String) {
        let path = format!("{}:{}", self.programs().display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", line]).current_dir(self.path()).env_clear();
        command.env("PATH", path).env("HOME", self.path()).env("LOCKKEEPER_LOG_FORMAT", "text");
        command.envs(url.map(|url| ("DATABASE_URL", url)));
        let output = command.output().expect("bash");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}
