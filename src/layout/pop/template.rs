//! Templates of Go in scripts.

/// A search for the first template of a script, whose text is passed part by part.
#[derive(Default)]
pub(super) struct TemplateSearch {
    /// The number of line ends read.
    lines: usize,
    /// True if the last byte read is a brace.
    has_brace: bool,
    /// The line of the first template, counted from 1.
    found: Option<usize>,
}

impl TemplateSearch {
    /// Reads the next part of the script.
    pub(super) fn read(&mut self, piece: &str) {
        for byte in piece.bytes() {
            if byte == b'{' && self.has_brace && self.found.is_none() {
                self.found = Some(self.lines + 1);
            }
            self.has_brace = byte == b'{';
            self.lines += usize::from(byte == b'\n');
        }
    }

    /// Returns the reason why the script cannot run, if it has a template.
    pub(super) fn finish(self) -> Option<String> {
        let line = self.found?;
        Some(format!(
            "line {line} has a template of Go ({{{{), which only pop can fill in: run pop itself with lockkeeper guard"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_found_across_parts() {
        let mut search = TemplateSearch::default();
        search.read("select '{';\nselect '{");
        assert_eq!(search.found, None);
        search.read("{ .X }}';\n{{");
        assert!(search.finish().unwrap().starts_with("line 2 has a template of Go ({{)"));
    }
}
