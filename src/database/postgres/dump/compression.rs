//! The compression of the rows in an archive, as a user chooses it and as `pg_dump --compress` takes it.

/// The compression of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DumpCompression {
    /// The method.
    pub(crate) method: CompressionMethod,
    /// The level; `None` for the usual one of the method.
    pub(crate) level: Option<u32>,
}

/// A method of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompressionMethod {
    /// Zstandard, which `pg_dump` knows from version 16 on.
    Zstd,
    /// The format of gzip.
    Gzip,
    /// No compression.
    None,
}

impl DumpCompression {
    /// The compression of a single file, if none is configured: the tool's own.
    pub(crate) const USUAL: DumpCompression = DumpCompression { method: CompressionMethod::Gzip, level: None };
    /// The compression of zstd at its usual level.
    pub(super) const ZSTD: DumpCompression = DumpCompression { method: CompressionMethod::Zstd, level: None };
    /// The compression of gzip at its fastest level: at the usual one, 6, a dump takes three times as long, for files that
    /// are smaller by a twelfth.
    pub(super) const FAST_GZIP: DumpCompression = DumpCompression { method: CompressionMethod::Gzip, level: Some(1) };

    /// Parses `zstd`, `gzip` or `none`; a level may follow the first two behind a colon.
    ///
    /// # Errors
    /// Fails with the accepted texts.
    pub(crate) fn parse(text: &str) -> Result<DumpCompression, &'static str> {
        const ACCEPTED: &str = "write zstd, zstd:1 to zstd:22, gzip, gzip:1 to gzip:9, or none";
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level.parse().map_err(|_| ACCEPTED)?)),
            None => (text, None),
        };
        let (method, highest_level) = match name {
            "zstd" => (CompressionMethod::Zstd, 22),
            "gzip" => (CompressionMethod::Gzip, 9),
            "none" => (CompressionMethod::None, 0),
            _ => return Err(ACCEPTED),
        };
        match level {
            Some(level) if !(1..=highest_level).contains(&level) => Err(ACCEPTED),
            level => Ok(DumpCompression { method, level }),
        }
    }

    /// Returns the argument of `pg_dump`. A bare number means gzip to every version.
    pub(super) fn argument(self) -> String {
        match (self.method, self.level) {
            (CompressionMethod::Zstd, None) => "--compress=zstd".into(),
            (CompressionMethod::Zstd, Some(level)) => format!("--compress=zstd:{level}"),
            (CompressionMethod::Gzip, level) => format!("--compress={}", level.unwrap_or(6)),
            (CompressionMethod::None, _) => "--compress=0".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_may_have_a_level() {
        for (text, argument) in [
            ("zstd", "--compress=zstd"),
            ("zstd:3", "--compress=zstd:3"),
            ("gzip", "--compress=6"),
            ("gzip:1", "--compress=1"),
            ("none", "--compress=0"),
        ] {
            assert_eq!(DumpCompression::parse(text).map(DumpCompression::argument), Ok(argument.into()), "{text}");
        }
        for bad in ["", "lz4", "zstd:23", "zstd:", "gzip:0", "gzip:10", "gzip:fast", "none:1", "6"] {
            assert!(DumpCompression::parse(bad).is_err(), "{bad}");
        }
    }
}
