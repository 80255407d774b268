//! One file of a backup that is a directory: its checksum, its content without the compression, and its rows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::rows_in_file::RowCounter;
use crate::revision::Fingerprint;
use crate::safe_file;

/// The number of bytes that are read or decompressed at a time.
const CHUNK: usize = 128 * 1024;

/// A file of a backup, in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupFile {
    /// The name in the directory.
    pub(crate) name: String,
    /// The size in bytes.
    pub(crate) bytes: u64,
    /// The SHA-256, in hexadecimal.
    pub(crate) sha256: String,
}

/// The compression of a file, which its name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileCompression {
    None,
    Gzip,
    Zstd,
}

/// The content of a file, which its name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileContent {
    /// The table of contents.
    Contents,
    /// The rows of the entry with this number.
    Rows(u32),
    /// A list of large objects.
    LargeObjectList,
    /// A large object.
    LargeObject,
}

impl FileContent {
    /// Returns the content of the file with this name; `None` if `pg_dump` writes no such file.
    pub(super) fn from_name(name: &str) -> Option<FileContent> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if name == "toc.dat" {
            return Some(FileContent::Contents);
        }
        if let Some(list) = name.strip_prefix("blobs").and_then(|rest| rest.strip_suffix(".toc")) {
            let is_list = list.is_empty() || list.strip_prefix('_').is_some_and(digits);
            return is_list.then_some(FileContent::LargeObjectList);
        }
        let (stem, _) = split_compression(name);
        let stem = stem.strip_suffix(".dat")?;
        match stem.strip_prefix("blob_") {
            Some(oid) => digits(oid).then_some(FileContent::LargeObject),
            None => digits(stem).then(|| stem.parse().ok().map(FileContent::Rows)).flatten(),
        }
    }
}

/// Splits the suffix of the compression from a name.
fn split_compression(name: &str) -> (&str, FileCompression) {
    let suffixes = [(".gz", FileCompression::Gzip), (".zst", FileCompression::Zstd)];
    let found = suffixes.iter().find_map(|(suffix, compression)| Some((name.strip_suffix(suffix)?, *compression)));
    found.unwrap_or((name, FileCompression::None))
}

/// Returns the name of a file without the suffix of the compression.
pub(super) fn name_without_compression(name: &str) -> &str {
    split_compression(name).0
}

/// A reader that computes the checksum of the bytes that are read. It fails once `stop` is set.
struct HashingReader<'a> {
    file: &'a File,
    hasher: Sha256,
    bytes: u64,
    stop: &'a AtomicBool,
}

impl Read for HashingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::SeqCst) {
            return Err(io::Error::other("stopped"));
        }
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// An open file of a backup.
pub(super) struct ArchiveFile {
    name: String,
    file: File,
}

impl ArchiveFile {
    /// Opens a file of an open directory.
    ///
    /// # Errors
    /// Fails when the name leads to something else than a regular file, or with the error of the file system.
    pub(super) fn open(directory: &File, name: &str) -> io::Result<ArchiveFile> {
        Ok(ArchiveFile { name: name.to_owned(), file: safe_file::open_in(directory, name)? })
    }

    /// Returns the size in bytes.
    ///
    /// # Errors
    /// Fails with the error of the file system.
    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reads the file to its end, without a look at its content.
    ///
    /// # Errors
    /// Fails with the error of the file system, or when `stop` is set.
    pub(super) fn checksum(&self, stop: &AtomicBool) -> io::Result<BackupFile> {
        let mut reader = self.reader(stop);
        let mut buffer = vec![0; CHUNK];
        while reader.read(&mut buffer)? > 0 {}
        Ok(self.described(reader))
    }

    /// Reads the file to its end, and gives its content without the compression to `take`, piece by piece.
    ///
    /// # Errors
    /// Fails as [`ArchiveFile::checksum`] does, when the content cannot be decompressed or something follows it, and with
    /// the error of `take`.
    pub(super) fn content(
        &self,
        stop: &AtomicBool,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<BackupFile> {
        let input = BufReader::with_capacity(CHUNK, self.reader(stop));
        let mut input = match split_compression(&self.name).1 {
            FileCompression::None => give(input, &mut take)?,
            FileCompression::Gzip => give(GzDecoder::new(input), &mut take)?.into_inner(),
            FileCompression::Zstd => {
                let decoder = zstd::Decoder::with_buffer(input)?.single_frame();
                give(decoder, &mut take)?.finish()
            }
        };
        match input.fill_buf()? {
            [] => Ok(self.described(input.into_inner())),
            _ => Err(io::Error::new(ErrorKind::InvalidData, "something follows the compressed content")),
        }
    }

    /// Reads the file to its end, and counts the rows in it.
    ///
    /// # Errors
    /// Fails as [`ArchiveFile::content`] does, and when the rows do not end as `pg_dump` ends them.
    pub(super) fn rows(&self, stop: &AtomicBool) -> io::Result<(BackupFile, u64)> {
        let mut counter = RowCounter::new();
        let invalid = |error| io::Error::new(ErrorKind::InvalidData, error);
        let file = self.content(stop, |bytes| counter.add(bytes).map_err(invalid))?;
        Ok((file, counter.finish().map_err(invalid)?))
    }

    /// Writes the file to the disk (fsync).
    ///
    /// # Errors
    /// Fails with the error of the file system.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn reader<'a>(&'a self, stop: &'a AtomicBool) -> HashingReader<'a> {
        HashingReader { file: &self.file, hasher: Sha256::new(), bytes: 0, stop }
    }

    fn described(&self, reader: HashingReader<'_>) -> BackupFile {
        let HashingReader { hasher, bytes, .. } = reader;
        BackupFile { name: self.name.clone(), bytes, sha256: Fingerprint(hasher.finalize().into()).to_string() }
    }
}

/// Reads to the end, gives the bytes to `take`, and returns the reader.
fn give<R: Read>(mut reader: R, take: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<R> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(reader),
            read => take(&buffer[..read])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    const ROWS: &[u8] = b"1\tone\n2\ttwo\n\\.\n\n\n";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it compresses")
    }

    fn count(directory: &Path, name: &str, bytes: &[u8]) -> Result<u64, String> {
        std::fs::write(directory.join(name), bytes).expect("a file");
        let open = safe_file::open_our_directory(directory).expect("a directory");
        let file = ArchiveFile::open(&open, name).expect("a file");
        let (file, rows) = file.rows(&AtomicBool::new(false)).map_err(|error| error.to_string())?;
        assert_eq!(file.sha256, Fingerprint(Sha256::digest(bytes).into()).to_string());
        assert_eq!((file.name.as_str(), file.bytes), (name, bytes.len() as u64));
        Ok(rows)
    }

    #[test]
    fn rows_are_counted_in_every_compression_and_nothing_may_follow() {
        let directory = tempfile::tempdir().expect("a directory");
        let zstd = zstd::encode_all(ROWS, 3).expect("it compresses");
        for (name, bytes) in [("1.dat", ROWS.to_vec()), ("1.dat.gz", gzip(ROWS)), ("1.dat.zst", zstd)] {
            assert_eq!(count(directory.path(), name, &bytes), Ok(2), "{name}");
            let twice = [bytes.clone(), bytes.clone()].concat();
            assert!(count(directory.path(), name, &twice).is_err_and(|why| why.contains("follow")), "{name}");
            for length in 0..bytes.len() - 2 {
                assert!(count(directory.path(), name, &bytes[..length]).is_err(), "{length} bytes of {name}");
            }
        }
        let mut changed = gzip(ROWS);
        let at = changed.len() - 6;
        changed[at] ^= 1;
        assert!(count(directory.path(), "1.dat.gz", &changed).is_err());
    }

    #[test]
    fn only_names_that_pg_dump_gives_are_known() {
        for (name, content) in [
            ("toc.dat", Some(FileContent::Contents)),
            ("3358.dat", Some(FileContent::Rows(3358))),
            ("3358.dat.zst", Some(FileContent::Rows(3358))),
            ("blobs.toc", Some(FileContent::LargeObjectList)),
            ("blobs_12.toc", Some(FileContent::LargeObjectList)),
            ("blob_16.dat.gz", Some(FileContent::LargeObject)),
            ("toc.dat.gz", None),
            ("x.dat", None),
            ("3358.dat.lz4", None),
            ("+3.dat", None),
            ("blob_.dat", None),
            ("blobs_.toc", None),
            ("README", None),
        ] {
            assert_eq!(FileContent::from_name(name), content, "{name}");
        }
    }
}
