#![no_main]

#[path = "../properties/json_text.rs"]
mod json_text;

libfuzzer_sys::fuzz_target!(|data: &[u8]| json_text::check(data));
