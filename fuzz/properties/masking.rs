//! Masking: a password that is known, or that a statement sets, is not in any printed text.

use std::io::Cursor;
use std::sync::Once;

use lockkeeper::dialect::Dialect;
use lockkeeper::masking::{
    StatementLiterals, ToolOutput, excerpt, hide, mask_known, mask_login_answer, mask_message, mask_query,
};
use lockkeeper::revision::{BatchLimit, Batches, TransactionMode};

/// Known passwords, which replace the asterisks of the input; the second begins like the first.
const KNOWN: [&str; 2] = ["canary-S3cr3t", "canary-S3cr3t-longer"];
/// The maximal number of asterisks that are replaced: many of them would only make each input slow.
const MOST_PLACES: usize = 8;
/// A password that only its statement identifies.
const WRITTEN: &str = "unknown-c4n4ry";

/// Checks a text that quotes a password.
pub fn check(data: &[u8]) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| KNOWN.iter().for_each(|secret| hide(secret, &[])));
    let text = String::from_utf8_lossy(data);
    // The text's own words are no secret.
    let is_own = text.contains("S3cr3t") || text.contains("-longer");
    for known in KNOWN {
        let text = text.replacen('*', known, MOST_PLACES);
        let tool_output: String = {
            let mut output = ToolOutput::default();
            text.lines().map(|line| output.mask("pg_dump", line) + "\n").collect()
        };
        let answer = StatementLiterals::from_statement(&text).map(|literals| literals.mask_in(&text));
        let printed = [
            mask_known(&text),
            mask_message(&text),
            mask_query(&text),
            mask_login_answer(&text),
            excerpt(&text),
            tool_output,
            answer.unwrap_or_default(),
        ];
        for printed in printed {
            let is_shown = printed.contains("S3cr3t") || printed.contains("-longer");
            assert!(is_own || !is_shown, "{printed}");
        }
    }
    if let Some((before, after)) = text.split_once('*')
        && !text.contains(WRITTEN)
        && is_complete(before)
    {
        check_statement(&format!("{before}; ALTER ROLE a PASSWORD '{WRITTEN}' {after}"));
        check_statement(&format!("{before}; ALTER ROLE a PASSWORD !{WRITTEN} {after}"));
        check_statement(&format!("{before}; ALTER ROLE a PASSWORD $x${WRITTEN}$x$ {after}"));
    }
}

fn check_statement(text: &str) {
    for printed in [excerpt(text), mask_message(text)] {
        assert!(!printed.contains(WRITTEN), "{printed}");
    }
}

/// Returns whether a script is complete at its end: it has no open string, comment, identifier or parenthesis.
fn is_complete(script: &str) -> bool {
    let source = Cursor::new(format!("{script}\n; SELECT 1").into_bytes());
    let mut batches = Batches::new(Box::new(source), Dialect::Postgres, TransactionMode::NoTransaction);
    let mut last = String::new();
    loop {
        match batches.next(BatchLimit::Statement) {
            Ok(Some(batch)) if batch.starts.is_empty() => {}
            Ok(Some(batch)) => batch.statement(0).clone_into(&mut last),
            Ok(None) => return last == "SELECT 1" && !script.contains(['"', '\\', '\r']),
            Err(_) => return false,
        }
    }
}
