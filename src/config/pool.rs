//! The settings of the application's connection pool, as teams that use SQLAlchemy name them.

use super::settings::{number, pick};
use crate::error::Cause;

/// Returns the largest number of sessions that may read a database at the same time: the size of the pool and its
/// overflow, if one is set. `None` if there is no bound; 0 for the size and -1 for the overflow mean that, too, as in
/// SQLAlchemy.
pub(super) fn session_limit(size: &Option<String>, overflow: &Option<String>) -> Result<Option<usize>, Cause> {
    let size = pick(&None, "", size, "DATABASE_POOL_SIZE");
    let is_bounded = size.is_some();
    let size = number(size, 0, 0)?;
    let overflow = pick(&None, "", overflow, "DATABASE_MAX_OVERFLOW");
    if overflow.as_ref().is_some_and(|setting| setting.value == "-1") {
        return Ok(None);
    }
    let overflow = number(overflow, 0, 0)?;
    Ok((is_bounded && size > 0).then(|| size.saturating_add(overflow) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_pool_and_its_overflow_bound_the_sessions() {
        let limit = |size: Option<&str>, overflow: Option<&str>| {
            let text = |value: Option<&str>| value.map(str::to_owned);
            session_limit(&text(size), &text(overflow)).map_err(|cause| cause.to_string())
        };
        for (size, overflow, expected) in [
            (None, None, None),
            (Some("1"), None, Some(1)),
            (Some("1"), Some("2"), Some(3)),
            (None, Some("2"), None),
            (Some("0"), Some("2"), None),
            (Some("1"), Some("-1"), None),
            (Some("4294967295"), Some("4294967295"), Some(u32::MAX as usize)),
        ] {
            assert_eq!(limit(size, overflow), Ok(expected), "{size:?} {overflow:?}");
        }
        for bad in ["-1", "five", "1.5", "4294967296"] {
            assert!(limit(Some(bad), None).is_err_and(|message| message.contains("DATABASE_POOL_SIZE")), "{bad}");
        }
        for bad in ["-2", "ten", "0.5"] {
            assert!(limit(None, Some(bad)).is_err_and(|message| message.contains("DATABASE_MAX_OVERFLOW")), "{bad}");
        }
    }
}
