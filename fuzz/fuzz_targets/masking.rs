#![no_main]

#[path = "../properties/masking.rs"]
mod masking;

libfuzzer_sys::fuzz_target!(|data: &[u8]| masking::check(data));
