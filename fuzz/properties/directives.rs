//! The directives of a script: any text gives a header or an error that names one of its lines.

use lockkeeper::revision::Header;

/// Checks the text of a script's beginning.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Header::parse(text) {
        Ok(header) => {
            // What follows the first statement directs nothing.
            let more = format!("{text}\nSELECT 1;\n-- no-such-directive: x\n");
            let again = Header::parse(&more).expect("the text before was accepted");
            assert_eq!(header.depends, again.depends);
            assert_eq!((header.lock_timeout, header.mode), (again.lock_timeout, again.mode));
        }
        Err(error) => {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
            assert!(!error.reason.is_empty());
        }
    }
}
