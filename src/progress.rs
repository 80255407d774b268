//! Says that a long step is still going on: a line at growing intervals, a moving bar on a terminal.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

/// The first line comes after this, the next after twice as long, up to the longest.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// The intervals between lines of one step.
pub fn intervals() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(FIRST), |last| Some((*last * 2).min(LONGEST)))
}

/// Waits for work of which nothing can be seen, and says now and then that it goes on.
pub async fn telling<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let began = Instant::now();
    for interval in intervals() {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(interval) => {
                tracing::info!("still {what} after {} s", began.elapsed().as_secs());
            }
        }
    }
    work.await
}

/// Shows how a file grows, until it is dropped.
pub struct Progress(JoinHandle<()>, ProgressBar);

impl Progress {
    /// `expected` bytes are a guess: the bar shows bytes, not a share.
    pub fn start(what: String, file: &Path, expected: u64) -> Progress {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}: {bytes} in {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.clone());
        let task = match bar.is_hidden() {
            true => tokio::spawn(lines(what, file.to_owned(), expected)),
            false => tokio::spawn(moving(bar.clone(), file.to_owned())),
        };
        Progress(task, bar)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.abort();
        self.1.finish_and_clear();
    }
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

async fn lines(what: String, file: PathBuf, expected: u64) {
    for interval in intervals() {
        tokio::time::sleep(interval).await;
        tracing::info!(bytes = size(&file), database_bytes = expected, "still {what}");
    }
}

async fn moving(bar: ProgressBar, file: PathBuf) {
    loop {
        bar.set_position(size(&file));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
