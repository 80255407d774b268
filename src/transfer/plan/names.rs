//! Matching of table and column names.

/// The reason why a name has no match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameMappingError {
    /// No name matches.
    None,
    /// Several names match.
    Several,
}

/// Returns the index of the exact name, or else of the only name that differs in case alone.
///
/// # Errors
/// Fails when no name matches, or when several match.
pub fn matching<'a>(name: &str, names: impl Iterator<Item = &'a str> + Clone) -> Result<usize, NameMappingError> {
    let only = |found: Vec<usize>| match found[..] {
        [] => Err(NameMappingError::None),
        [one] => Ok(one),
        _ => Err(NameMappingError::Several),
    };
    let places = |like: &dyn Fn(&str) -> bool| {
        names.clone().enumerate().filter(|(_, known)| like(known)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    match places(&|known| known == name) {
        exact if !exact.is_empty() => only(exact),
        _ => only(places(&|known| known.to_lowercase() == name.to_lowercase())),
    }
}
