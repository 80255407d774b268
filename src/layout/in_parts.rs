//! Reads many files on several threads: most of the time goes to the system calls that open and read them.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{self, available_parallelism};

use super::TextFiles;

/// The largest number of threads.
const MOST_THREADS: usize = 4;
/// The number of items for which a thread of their own is worth its start.
const LEAST_ITEMS: usize = 500;

/// Divides the items among threads and reads each part with `read`. Returns the results in the order of the items.
pub(super) fn read_in_parts<T: Sync, R: Send>(
    items: &[T],
    files: &dyn TextFiles,
    read: impl Fn(&[T], &mut dyn TextFiles) -> R + Sync,
) -> Vec<R> {
    let threads = match items.len() / LEAST_ITEMS {
        0 | 1 => 1,
        parts => parts.min(MOST_THREADS).min(available_parallelism().map_or(1, NonZero::get)),
    };
    let read = |part: &[T], mut files: Box<dyn TextFiles + Send + '_>| read(part, &mut *files);
    let mut parts = items.chunks(items.len().div_ceil(threads).max(1));
    let first = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|part| {
                let of_part = files.fork();
                (part, thread::Builder::new().spawn_scoped(scope, move || read(part, of_part)))
            })
            .collect();
        let mut results = vec![read(first, files.fork())];
        for (part, thread) in others {
            results.push(match thread.map(|thread| thread.join()) {
                Ok(joined) => joined.unwrap_or_else(|panic| resume_unwind(panic)),
                // There may be no more threads for this process.
                Err(_) => read(part, files.fork()),
            });
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::{Fingerprint, Section};

    struct NoFiles;

    impl TextFiles for NoFiles {
        fn read(
            &mut self,
            _: &str,
            _: &mut dyn FnMut(&[u8]),
            _: &mut dyn FnMut(&str) -> Result<(), String>,
        ) -> Result<Fingerprint, String> {
            Err("there is none".into())
        }

        fn fork(&self) -> Box<dyn TextFiles + Send + '_> {
            Box::new(NoFiles)
        }

        fn with_values(&self, _: &Section, _: &str) -> Option<String> {
            None
        }
    }

    #[test]
    fn every_item_is_read_once_and_in_its_order() {
        for count in [0, 1, LEAST_ITEMS, 2 * LEAST_ITEMS, 2 * LEAST_ITEMS + 1, 9 * LEAST_ITEMS + 7] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(read_in_parts(&items, &NoFiles, |part, _| part.to_vec()).concat(), items, "{count}");
        }
    }
}
