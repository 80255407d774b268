#![no_main]

#[path = "../properties/copy_rows.rs"]
mod copy_rows;

libfuzzer_sys::fuzz_target!(|data: &[u8]| copy_rows::check(data));
