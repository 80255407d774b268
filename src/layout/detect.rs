//! Finds out which layout a directory has.

use super::{Fit, LAYOUTS, Layout, Listing, NATIVE, by_name};
use crate::revision::history::HistoryFormat;

/// The choice of a layout in the settings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LayoutChoice {
    /// The directory and the tables of the database decide.
    Auto,
    /// The settings name this one.
    Named(&'static dyn Layout),
}

/// The layout of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Detected {
    /// The layout.
    pub(crate) layout: &'static dyn Layout,
    /// The layouts that fit the directory as well: the database decides by its tables.
    pub(crate) others: Vec<&'static dyn Layout>,
    /// The reason why the directory is certainly of the layout, if there is one.
    pub(crate) reason: Option<String>,
    /// True if the directory has repeatable scripts.
    pub(crate) has_repeatables: bool,
    /// True if only the tables of the database can tell which of the others the layout is.
    pub(crate) is_undecided: bool,
}

impl Detected {
    /// Returns what is known of a directory of this layout. `listing` has its entries.
    pub(crate) fn new(layout: &'static dyn Layout, listing: &Listing) -> Detected {
        let has_repeatables = layout.has_repeatables(listing);
        Detected { layout, others: Vec::new(), reason: None, has_repeatables, is_undecided: false }
    }

    /// Returns the layout in which the directory is read.
    ///
    /// # Errors
    /// Fails with a sentence if several layouts fit the directory, and none of them is Lockkeeper's own.
    pub(crate) fn decided(&self) -> Result<&'static dyn Layout, String> {
        match self.is_undecided {
            false => Ok(self.layout),
            true => Err(format!(
                "several layouts fit this directory, and no history table of one of them decides: {}; set LOCKKEEPER_LAYOUT to one of them",
                names(&self.others)
            )),
        }
    }

    /// Returns the format of the history table.
    pub(crate) fn history(&self) -> &'static dyn HistoryFormat {
        match self.has_repeatables {
            true => self.layout.history_with_repeatables(),
            false => self.layout.history(),
        }
    }
}

impl LayoutChoice {
    /// Parses the value of the setting.
    ///
    /// # Errors
    /// Fails with a sentence that lists the names of all layouts.
    pub(crate) fn parse(text: &str) -> Result<LayoutChoice, String> {
        if text == "auto" {
            return Ok(LayoutChoice::Auto);
        }
        match by_name(text) {
            Some(layout) => Ok(LayoutChoice::Named(layout)),
            None => Err(format!("\"{text}\" is no layout; write auto or one of {}", names(&LAYOUTS))),
        }
    }

    /// Returns the layout of a directory. `head` returns the beginning of a file.
    ///
    /// # Errors
    /// Fails with a sentence if several layouts claim the directory.
    pub(crate) fn resolve(self, listing: &Listing, head: impl Fn(&str) -> String) -> Result<Detected, String> {
        match self {
            LayoutChoice::Auto => detect(listing, head),
            LayoutChoice::Named(layout) => Ok(Detected::new(layout, listing)),
        }
    }
}

/// Returns the names of layouts with commas between them.
fn names(layouts: &[&'static dyn Layout]) -> String {
    layouts.iter().map(|layout| layout.name()).collect::<Vec<_>>().join(", ")
}

/// Returns whether a comment at the top of a file, before any SQL, is a mark of a tool.
pub(super) fn has_mark(head: &str, is_mark: impl Fn(&str) -> bool) -> bool {
    let mut top = head.lines().take_while(|line| line.trim().is_empty() || line.trim_start().starts_with("--"));
    top.any(is_mark)
}

/// Returns the layout that a directory is certainly of, or the first that may fit it: Lockkeeper's own, or the only one.
/// A directory that fits none is read as Lockkeeper's own, whose messages say how files are named.
fn detect(listing: &Listing, head: impl Fn(&str) -> String) -> Result<Detected, String> {
    let first = listing.plain_names().filter(|name| name.ends_with(".sql")).min();
    let head = first.map(head).unwrap_or_default();
    let mut possible = Vec::new();
    let mut certain: Vec<(&'static dyn Layout, String)> = Vec::new();
    for layout in LAYOUTS {
        match layout.fit(listing, &head) {
            Fit::No => {}
            Fit::Possible => possible.push(layout),
            Fit::Certain(reason) => certain.push((layout, reason)),
        }
    }
    if certain.len() > 1 {
        let claims: Vec<String> =
            certain.iter().map(|(layout, reason)| format!("{} ({reason})", layout.name())).collect();
        return Err(format!(
            "several layouts fit this directory: {}; set LOCKKEEPER_LAYOUT to one of them",
            claims.join(", ")
        ));
    }
    if let Some((layout, reason)) = certain.pop() {
        return Ok(Detected { reason: Some(reason), ..Detected::new(layout, listing) });
    }
    if possible.len() > 1 && possible[0].name() != NATIVE.name() {
        return Ok(Detected { others: possible, is_undecided: true, ..Detected::new(NATIVE, listing) });
    }
    let mut possible = possible.into_iter();
    let layout = possible.next().unwrap_or(NATIVE);
    Ok(Detected { others: possible.collect(), ..Detected::new(layout, listing) })
}
