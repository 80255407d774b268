#![no_main]

#[path = "../properties/history_row.rs"]
mod history_row;

libfuzzer_sys::fuzz_target!(|data: &[u8]| history_row::check(data));
