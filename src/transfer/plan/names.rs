//! Matching of table and column names.

/// The reason why a name has no match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameMappingError {
    /// No name matches.
    None,
    /// Several names match.
    Several,
}

/// Returns the index of the exact name, or else of the only name that differs in case alone.
///
/// # Errors
/// Fails when no name matches, or when several match.
pub(crate) fn matching<'a>(
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<usize, NameMappingError> {
    let single = |positions: Vec<usize>| match positions[..] {
        [] => Err(NameMappingError::None),
        [position] => Ok(position),
        _ => Err(NameMappingError::Several),
    };
    let find = |is_match: &dyn Fn(&str) -> bool| {
        names.clone().enumerate().filter(|(_, known)| is_match(known)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    match find(&|known| known == name) {
        exact if !exact.is_empty() => single(exact),
        _ => single(find(&|known| known.to_lowercase() == name.to_lowercase())),
    }
}
