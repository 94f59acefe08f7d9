//! Any text as mathematics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    gradus_verify::read_as(text);
});
