//! An estimate of a backup as a file: its size, and the time that writing and verifying it takes.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{ZlibDecoder, ZlibEncoder};

use super::dump_form;
use super::retention::{ListedBackup, list};
use super::work::BackupWork;
use crate::byte_size::describe_bytes;
use crate::clock;
use crate::config::BackupPolicy;
use crate::database::postgres::dump::DumpTools;
use crate::database::postgres::dump::compression::{CompressionMethod, DumpCompression};
use crate::database::postgres::dump::request::DumpForm;
use crate::database::postgres::dump::sample::RowSample;
use crate::database::{BackupSource, Canceller, Database, DatabaseError, DatabaseErrorKind};
use crate::dialect::Dialect;

/// The shortest earlier backup from which the time of another one is derived: manifests have whole seconds.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// The number of bytes of a SQLite file that are copied, checked and counted in a second, before an earlier backup says
/// more. A file of 650 MB took ten seconds on a busy virtual machine with two processors and a local disk.
const SQLITE_BYTES_PER_SECOND: f64 = 80e6;
/// The number of bytes of tables that are dumped and read back in a second, where no sample could be taken.
const UNSAMPLED_BYTES_PER_SECOND: f64 = 20e6;
/// The part of the size of the tables that a dump takes, where no sample could be taken.
const UNSAMPLED_RATIO: f64 = 0.3;

/// The estimated size and time of a backup.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Estimate {
    /// The size of the file in bytes.
    pub(super) bytes: u64,
    /// The time for writing and verifying it.
    pub(super) time: Duration,
    /// The basis of the estimate, as the end of a sentence.
    pub(super) basis: String,
}

/// Estimates a backup: from the last one of this database that took long enough, or from a sample of rows.
///
/// # Errors
/// Fails when the session is lost.
pub(super) async fn estimate(work: &mut BackupWork<'_>) -> Result<Estimate, DatabaseError> {
    let size = work.subject.size;
    if let Some(estimate) = from_earlier_backup(work) {
        return Ok(estimate);
    }
    let database = work.hold.locked.database();
    if database.dialect() == Dialect::Sqlite {
        let time = Duration::from_secs_f64(size as f64 / SQLITE_BYTES_PER_SECOND);
        return Ok(Estimate { bytes: size, time, basis: format!("the size of the file, {}", describe_bytes(size)) });
    }
    let form = dump_form::choose(database, work.policy, size).await?;
    let compression = compression(database, work.policy, form).await;
    let sample = match work.hold.canceller {
        Canceller::Postgres(monitor) => match monitor.sample_rows().await {
            Err(fault) if fault.kind == DatabaseErrorKind::Lost => return Err(fault),
            sample => sample.unwrap_or_default(),
        },
        Canceller::Sqlite(_) => RowSample::default(),
    };
    Ok(from_sample(size, &sample, form, compression))
}

/// Returns the compression that the tool will use; the usual one if there is no tool, which the attempt will say.
async fn compression(database: &Database, policy: &BackupPolicy, form: DumpForm) -> DumpCompression {
    let BackupSource::Postgres(server) = database.source() else { return DumpCompression::USUAL };
    let tools = DumpTools::find(policy.pg_dump.as_deref(), server.major()).await;
    tools.ok().and_then(|tools| tools.compression(policy.compression, form)).unwrap_or(DumpCompression::USUAL)
}

/// Returns the size and the time of the newest backup of this database, in proportion to the size of the database.
fn from_earlier_backup(work: &mut BackupWork<'_>) -> Option<Estimate> {
    let listed = list(&work.policy.dir, &work.hold.locked.database().identity()).ok()?;
    let is_of_this_database = |backup: &&ListedBackup| {
        let manifest = backup.manifest.as_ref();
        manifest.is_some_and(|manifest| !manifest.is_of_another(work.subject.database_id.as_deref()))
    };
    let manifest = listed.iter().rev().find(is_of_this_database)?.manifest.as_ref()?;
    let before = manifest.database_bytes.filter(|bytes| *bytes > 0)?;
    let took = clock::between(&manifest.started_at, &manifest.verified_at).filter(|time| *time >= LONG_ENOUGH)?;
    let growth = work.subject.size as f64 / before as f64;
    Some(Estimate {
        bytes: (manifest.bytes as f64 * growth) as u64,
        time: took.mul_f64(growth),
        basis: format!("the backup {}", manifest.file),
    })
}

/// Returns the size and the time of a dump, from the time in which the server has sent the sample, and from that in
/// which this machine compresses it and reads it back.
fn from_sample(size: u64, sample: &RowSample, form: DumpForm, compression: DumpCompression) -> Estimate {
    if sample.text.is_empty() || sample.stored_bytes == 0 {
        return Estimate {
            bytes: (size as f64 * UNSAMPLED_RATIO) as u64,
            time: Duration::from_secs_f64(size as f64 / UNSAMPLED_BYTES_PER_SECOND),
            basis: format!("the size of its tables, {}", describe_bytes(size)),
        };
    }
    let jobs = match form {
        DumpForm::File => 1,
        DumpForm::Directory(jobs) => jobs.get(),
    };
    let trial = try_compression(&sample.text, compression);
    let scale = size as f64 / sample.stored_bytes as f64;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    let [sent, compressed, read_back] =
        [sample.elapsed, trial.compressing, trial.reading_back].map(|time| time.as_secs_f64() * scale);
    // Each job is a pipe of two processes: the slower one decides, as long as there are processors for all.
    let writing = (sent.max(compressed) / jobs as f64).max((sent + compressed) / processors);
    let checking = read_back / (jobs as f64).min(processors);
    Estimate {
        bytes: (trial.bytes as f64 * scale) as u64,
        time: Duration::from_secs_f64(writing + checking),
        basis: format!("a sample of {} of rows", describe_bytes(sample.text.len() as u64)),
    }
}

/// The result of compressing a sample and reading it back.
struct Trial {
    bytes: usize,
    compressing: Duration,
    reading_back: Duration,
}

/// Compresses a text as `pg_dump` will, and reads it back. Writing to memory does not fail.
fn try_compression(text: &[u8], compression: DumpCompression) -> Trial {
    let DumpCompression { method, level } = compression;
    let start = Instant::now();
    let archive = match method {
        CompressionMethod::None => text.to_vec(),
        CompressionMethod::Gzip => zlib(text, level.map_or_else(Compression::default, Compression::new)),
        CompressionMethod::Zstd => {
            let level = level.and_then(|level| i32::try_from(level).ok());
            zstd::encode_all(text, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)).unwrap_or_default()
        }
    };
    let compressing = start.elapsed();
    let start = Instant::now();
    let _ = match method {
        CompressionMethod::None => Ok(()),
        CompressionMethod::Gzip => {
            let mut decoder = ZlibDecoder::new(std::io::sink());
            decoder.write_all(&archive).and_then(|()| decoder.finish().map(drop))
        }
        CompressionMethod::Zstd => zstd::stream::copy_decode(&*archive, std::io::sink()),
    };
    Trial { bytes: archive.len(), compressing, reading_back: start.elapsed() }
}

fn zlib(text: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), level);
    encoder.write_all(text).and_then(|()| encoder.finish()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_grows_with_the_database() {
        let text = "1\tname\t2026-01-12\n".repeat(10_000).into_bytes();
        let sample = RowSample { stored_bytes: 1 << 20, text, elapsed: Duration::from_millis(100) };
        let [one, ten] =
            [10 << 20, 100 << 20].map(|size| from_sample(size, &sample, DumpForm::File, DumpCompression::USUAL));
        assert!(one.time >= Duration::from_secs(1), "the server alone takes as long: {one:?}");
        assert!(one.bytes > 0 && ten.bytes.abs_diff(one.bytes * 10) < 100, "{one:?} {ten:?}");
        let without = from_sample(20_000_000, &RowSample::default(), DumpForm::File, DumpCompression::USUAL);
        assert_eq!(without.time, Duration::from_secs(1));
    }
}
