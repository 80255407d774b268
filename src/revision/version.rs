//! The version of a revision.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The version of a revision, as its file or its row in the history spells it, with the order of its layout. A repeatable
/// script has its name instead, which comes after all versions.
///
/// Two versions are compared by their keys, so that two spellings of one version are equal. A version is displayed as
/// it was written. Only a layout creates versions, because only a layout knows their order.
#[derive(Clone, Debug)]
pub struct Version {
    key: VersionKey,
    text: Box<str>,
    is_repeatable: bool,
}

/// The value by which the versions of a layout are ordered. All versions of a layout have a number, or none has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum VersionKey {
    Number(u64),
    Bytes(Box<[u8]>),
}

impl Version {
    /// Creates the version with this text and this place among the versions of its layout.
    pub(crate) fn numbered(text: &str, key: u64) -> Version {
        Version { key: VersionKey::Number(key), text: text.into(), is_repeatable: false }
    }

    /// Creates the version with this text. `key` orders it among the versions of its layout.
    pub(crate) fn new(text: &str, key: impl Into<Box<[u8]>>) -> Version {
        Version { key: VersionKey::Bytes(key.into()), text: text.into(), is_repeatable: false }
    }

    /// Creates what identifies a repeatable script: its name in the history.
    pub(crate) fn repeatable(name: &str) -> Version {
        Version { key: VersionKey::Bytes(name.as_bytes().into()), text: name.into(), is_repeatable: true }
    }

    /// Reports whether this identifies a repeatable script, which has no version.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// Returns the version as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.is_repeatable == other.is_repeatable && self.key == other.key
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.is_repeatable, &self.key).cmp(&(other.is_repeatable, &other.key))
    }
}
