//! Which file it is: other databases may have the same path in other containers.
//!
//! A file is known by the time of its birth and its inode, which no copy has in common with it. A restore puts another file
//! in its place, which is the same database to its user: that file gets the id of the one before as an extended attribute.
//! The attribute names the file that it was given to, because some programs copy attributes as well.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, XattrFlags, getxattr, setxattr, statx};

/// The id that a file has inherited, and the birth of the file that has inherited it.
const ATTRIBUTE: &str = "user.lockkeeper.database_id";
/// More than two births need.
const LONGEST: usize = 256;

/// Returns the id of a database's file. `None`: its file system keeps no times of birth.
pub fn read(path: &Path) -> Option<String> {
    let own = birth(path)?;
    Some(inherited(path, &own).unwrap_or(own))
}

/// Gives a file the id of the one that it is to replace. Where the file system cannot do that, it keeps its own.
pub fn inherit(heir: &Path, from: &Path) {
    if let (Some(id), Some(own)) = (read(from), birth(heir)) {
        let _ = setxattr(heir, ATTRIBUTE, format!("{id} {own}").as_bytes(), XattrFlags::empty());
    }
}

fn birth(path: &Path) -> Option<String> {
    let wanted = StatxFlags::BTIME | StatxFlags::INO;
    let facts = statx(CWD, path, AtFlags::empty(), wanted).ok()?;
    let is_known = StatxFlags::from_bits_retain(facts.stx_mask).contains(wanted);
    let birth = facts.stx_btime;
    is_known.then(|| format!("{}.{:09}-{}", birth.tv_sec, birth.tv_nsec, facts.stx_ino))
}

fn inherited(path: &Path, own: &str) -> Option<String> {
    let mut buffer = vec![0; LONGEST];
    let length = getxattr(path, ATTRIBUTE, &mut buffer).ok()?;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    let (id, heir) = text.split_once(' ')?;
    (heir == own).then(|| id.to_owned())
}
