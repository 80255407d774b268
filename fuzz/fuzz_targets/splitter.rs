#![no_main]

#[path = "../properties/splitter.rs"]
mod splitter;

libfuzzer_sys::fuzz_target!(|data: &[u8]| splitter::check(data));
