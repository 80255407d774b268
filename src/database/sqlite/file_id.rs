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
const MAX_BYTES: usize = 256;

/// Returns the id of a database file; `None` if its file system does not record times of birth.
pub(crate) fn read(path: &Path) -> Option<String> {
    let birth_id = read_birth_id(path)?;
    Some(inherited_id(path, &birth_id).unwrap_or(birth_id))
}

/// Gives `heir` the id of the file that it is to replace. Where the file system has no such attributes, `heir` keeps
/// its own id.
pub(crate) fn inherit(heir: &Path, from: &Path) {
    if let (Some(id), Some(birth_id)) = (read(from), read_birth_id(heir)) {
        let _ = setxattr(heir, ATTRIBUTE, format!("{id} {birth_id}").as_bytes(), XattrFlags::empty());
    }
}

/// Returns the time of birth and the inode of a file as `seconds.nanoseconds-inode`.
fn read_birth_id(path: &Path) -> Option<String> {
    let fields = StatxFlags::BTIME | StatxFlags::INO;
    let stat = statx(CWD, path, AtFlags::empty(), fields).ok()?;
    let is_known = StatxFlags::from_bits_retain(stat.stx_mask).contains(fields);
    let birth = stat.stx_btime;
    is_known.then(|| format!("{}.{:09}-{}", birth.tv_sec, birth.tv_nsec, stat.stx_ino))
}

/// Returns the inherited id, unless the attribute was copied from another file.
fn inherited_id(path: &Path, birth_id: &str) -> Option<String> {
    let mut buffer = vec![0; MAX_BYTES];
    let length = getxattr(path, ATTRIBUTE, &mut buffer).ok()?;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    let (id, birth_of_heir) = text.split_once(' ')?;
    (birth_of_heir == birth_id).then(|| id.to_owned())
}
