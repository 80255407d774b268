//! The id of a database file: other databases may have the same path in other containers.
//!
//! The time of birth and the inode identify a file, and no copy has the same ones. A restore puts another file in its
//! place, which is the same database to its user: that file gets the id of the previous file as an extended attribute.
//! The attribute also names the file that it was given to, because some programs copy attributes as well.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, XattrFlags, getxattr, setxattr, statx};

/// The extended attribute: the inherited id, and the birth of the file that has inherited it.
const ATTRIBUTE: &str = "user.lockkeeper.database_id";
/// The maximum length of the attribute in bytes; two births need less.
const LONGEST: usize = 256;

/// Returns the id of a database file; `None` if its file system does not record times of birth.
pub fn read(path: &Path) -> Option<String> {
    let own = birth(path)?;
    Some(inherited(path, &own).unwrap_or(own))
}

/// Gives `heir` the id of the file that it is to replace. Where the file system has no such attributes, `heir` keeps
/// its own id.
pub fn inherit(heir: &Path, from: &Path) {
    if let (Some(id), Some(own)) = (read(from), birth(heir)) {
        let _ = setxattr(heir, ATTRIBUTE, format!("{id} {own}").as_bytes(), XattrFlags::empty());
    }
}

/// Returns the time of birth and the inode of a file as `seconds.nanoseconds-inode`.
fn birth(path: &Path) -> Option<String> {
    let wanted = StatxFlags::BTIME | StatxFlags::INO;
    let facts = statx(CWD, path, AtFlags::empty(), wanted).ok()?;
    let is_known = StatxFlags::from_bits_retain(facts.stx_mask).contains(wanted);
    let birth = facts.stx_btime;
    is_known.then(|| format!("{}.{:09}-{}", birth.tv_sec, birth.tv_nsec, facts.stx_ino))
}

/// Returns the inherited id, unless the attribute was copied from another file.
fn inherited(path: &Path, own: &str) -> Option<String> {
    let mut buffer = vec![0; LONGEST];
    let length = getxattr(path, ATTRIBUTE, &mut buffer).ok()?;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    let (id, heir) = text.split_once(' ')?;
    (heir == own).then(|| id.to_owned())
}
