//! Kills runs with SIGKILL at random moments. LOCKKEEPER_TEST_SEED repeats the moments of an earlier test and
//! LOCKKEEPER_TEST_KILLS sets their number: the tests are short in CI, and one command, which `tests/it/kill.rs` names,
//! makes them long.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::binary::{Finished, Run};

/// A sequence of random moments, and how many of them are left.
pub struct Kills {
    seed: u64,
    random: fastrand::Rng,
    total: usize,
    done: usize,
    /// The output of the killed runs of this round.
    log: String,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// Returns the seed of a test's random choices and prints it: LOCKKEEPER_TEST_SEED, or the time.
pub fn seed() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let seed = setting("LOCKKEEPER_TEST_SEED").unwrap_or(now);
    println!("LOCKKEEPER_TEST_SEED={seed}");
    seed
}

/// Returns how often a test repeats itself: LOCKKEEPER_TEST_KILLS, or `default` times.
pub fn repetitions(default: usize) -> usize {
    setting("LOCKKEEPER_TEST_KILLS").map_or(default, |count| count as usize)
}

impl Kills {
    /// Plans `default` kills, unless LOCKKEEPER_TEST_KILLS says otherwise.
    pub fn new(default: usize) -> Self {
        let (seed, total) = (seed(), repetitions(default));
        Self { seed, random: fastrand::Rng::with_seed(seed), total, done: 0, log: String::new() }
    }

    pub fn has_moments_left(&self) -> bool {
        self.done < self.total
    }

    /// Kills run after run, each at a random moment of the time that an undisturbed run takes, until one ends before
    /// its moment or enough were killed. Then it lets a last run finish, which has to succeed.
    #[track_caller]
    pub fn converge(&mut self, run: &Run, undisturbed: Duration) {
        self.log.clear();
        while self.has_moments_left() {
            let mut running = run.spawn();
            let moment = Instant::now() + undisturbed.mul_f64(self.random.f64());
            while Instant::now() < moment && !running.has_ended() {
                thread::sleep(Duration::from_millis(1));
            }
            if running.has_ended() {
                let finished = running.finish();
                assert_eq!(finished.code, Some(0), "{finished}{self}");
                break;
            }
            self.log.push_str(&format!("--- killed\n{}", running.kill()));
            self.done += 1;
        }
        let last = run.output();
        assert_eq!(last.code, Some(0), "{last}{self}");
    }
}

/// A disruption that happens to a run at a random moment.
pub struct Disruption<'a> {
    pub what: &'a str,
    /// The exit codes other than 0 that a disrupted run may end with.
    pub codes: &'a [i32],
    pub disruption: &'a mut dyn FnMut(&mut fastrand::Rng),
    /// Checks the database after a run has ended.
    pub check: &'a mut dyn FnMut(&Finished),
}

impl Kills {
    /// Disrupts run after run, each at a random moment of the time that an undisturbed run takes, until one ends with 0
    /// or enough were disrupted. Then it lets a last run finish, which has to succeed.
    #[track_caller]
    pub fn converge_disrupted(&mut self, run: &Run, undisturbed: Duration, disruption: &mut Disruption<'_>) {
        self.log.clear();
        let mut succeeded = false;
        while self.has_moments_left() && !succeeded {
            let running = run.spawn();
            thread::sleep(undisturbed.mul_f64(self.random.f64()));
            (disruption.disruption)(&mut self.random);
            self.done += 1;
            let finished = running.finish();
            self.log.push_str(&format!("--- {}\n{finished}", disruption.what));
            succeeded = finished.code == Some(0);
            let allowed = finished.code.is_some_and(|code| disruption.codes.contains(&code));
            assert!(succeeded || allowed, "not 0 or one of {:?}{self}", disruption.codes);
            (disruption.check)(&finished);
        }
        let last = run.output();
        assert_eq!(last.code, Some(0), "{last}{self}");
        (disruption.check)(&last);
    }
}

/// Prints for assertion messages what repeats the test, and the output of the killed runs.
impl std::fmt::Display for Kills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\nafter {} random moments with LOCKKEEPER_TEST_SEED={}\n{}", self.done, self.seed, self.log)
    }
}
