//! SIGKILL at random moments. LOCKKEEPER_TEST_SEED repeats the moments of an earlier test, LOCKKEEPER_TEST_KILLS sets
//! their number: so the same tests are short in CI and long by one command, which `tests/it/kill.rs` names.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::binary::{Finished, Run};

/// Random moments, and how many of them are left.
pub struct Kills {
    seed: u64,
    random: fastrand::Rng,
    wanted: usize,
    done: usize,
    /// What the killed runs of this round had said.
    log: String,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// The seed of a test's random choices, which is printed: LOCKKEEPER_TEST_SEED, or the time.
pub fn seed() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let seed = setting("LOCKKEEPER_TEST_SEED").unwrap_or(now);
    println!("LOCKKEEPER_TEST_SEED={seed}");
    seed
}

/// How often a test repeats itself: LOCKKEEPER_TEST_KILLS, or so many times.
pub fn repetitions(short: usize) -> usize {
    setting("LOCKKEEPER_TEST_KILLS").map_or(short, |count| count as usize)
}

impl Kills {
    /// So many, unless the environment says otherwise.
    pub fn new(short: usize) -> Self {
        let (seed, wanted) = (seed(), repetitions(short));
        Self { seed, random: fastrand::Rng::with_seed(seed), wanted, done: 0, log: String::new() }
    }

    pub fn are_left(&self) -> bool {
        self.done < self.wanted
    }

    /// Kills run after run, each at a random moment of the time that an undisturbed one takes, until one has ended before
    /// its moment, or there were enough; then lets the last one finish.
    #[track_caller]
    pub fn converge(&mut self, run: &Run, undisturbed: Duration) {
        self.log.clear();
        while self.are_left() {
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

/// What is done to a run at a random moment.
pub struct Strike<'a> {
    pub what: &'a str,
    /// The codes other than 0 that the run may end with.
    pub codes: &'a [i32],
    pub strike: &'a mut dyn FnMut(&mut fastrand::Rng),
    /// Looks at the database when the run has ended.
    pub check: &'a mut dyn FnMut(&Finished),
}

impl Kills {
    /// Strikes at run after run, each at a random moment of the time that an undisturbed one takes, until one has ended with
    /// 0, or there were enough; then lets the last one finish.
    #[track_caller]
    pub fn converge_struck(&mut self, run: &Run, undisturbed: Duration, strike: &mut Strike<'_>) {
        self.log.clear();
        let mut settled = false;
        while self.are_left() && !settled {
            let running = run.spawn();
            thread::sleep(undisturbed.mul_f64(self.random.f64()));
            (strike.strike)(&mut self.random);
            self.done += 1;
            let finished = running.finish();
            self.log.push_str(&format!("--- {}\n{finished}", strike.what));
            settled = finished.code == Some(0);
            let allowed = finished.code.is_some_and(|code| strike.codes.contains(&code));
            assert!(settled || allowed, "not 0 or one of {:?}{self}", strike.codes);
            (strike.check)(&finished);
        }
        let last = run.output();
        assert_eq!(last.code, Some(0), "{last}{self}");
        (strike.check)(&last);
    }
}

/// For messages: what it takes to do the same again, and what the killed runs had said.
impl std::fmt::Display for Kills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\nafter {} random moments with LOCKKEEPER_TEST_SEED={}\n{}", self.done, self.seed, self.log)
    }
}
