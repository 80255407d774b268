//! Tables and columns by their names.

/// Why a name has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameMappingError {
    None,
    Several,
}

/// The place of the exact name, or of the only one that differs in case alone.
///
/// # Errors
/// There is none, or there are several.
pub fn matching<'a>(name: &str, names: impl Iterator<Item = &'a String> + Clone) -> Result<usize, NameMappingError> {
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
