#![no_main]

#[path = "../properties/json_export.rs"]
mod json_export;

libfuzzer_sys::fuzz_target!(|data: &[u8]| json_export::check(data));
