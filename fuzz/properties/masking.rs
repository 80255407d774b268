//! Masking: a password that is known, or that stands in a statement, is in nothing that is printed.

use std::sync::Once;

use lockkeeper::database::url::Secret;
use lockkeeper::report::{hide, masked};

/// Stands where the input has an asterisk; the second begins as the first does.
const PLANTED: [&str; 2] = ["canary-S3cr3t", "canary-S3cr3t-longer"];

/// Checks a text that quotes a password.
pub fn check(data: &[u8]) {
    static KNOWN: Once = Once::new();
    KNOWN.call_once(|| PLANTED.iter().for_each(|secret| hide(&Secret::new((*secret).to_owned()), &[])));
    let text = String::from_utf8_lossy(data);
    for planted in PLANTED {
        let printed = masked(&text.replace('*', planted));
        assert!(!printed.contains("S3cr3t") && !printed.contains("-longer"), "{printed}");
    }
}
