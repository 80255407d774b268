#![no_main]

#[path = "../properties/directives.rs"]
mod directives;

libfuzzer_sys::fuzz_target!(|data: &[u8]| directives::check(data));
