//! The directives of a script: any text gives directives or an error that names one of its lines.

use lockkeeper::layout::native::directives::Directives;

/// Checks the text of a script's beginning.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Directives::parse(text) {
        Ok(directives) => {
            // The text after the first statement has no directives.
            let more = format!("{text}\nSELECT 1;\n-- no-such-directive: x\n");
            let again = Directives::parse(&more).expect("the text before was accepted");
            assert_eq!(directives, again);
        }
        Err(error) => {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
            assert!(!error.reason.is_empty());
        }
    }
}
