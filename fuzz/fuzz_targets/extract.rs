//! Any text as a full response: what is found stands where the span says.
#![no_main]

use gradus_verify::{Kind, extract};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|response: &str| {
    for kind in [Kind::Math, Kind::Choice, Kind::Text] {
        if let Some(found) = extract(response, kind) {
            assert_eq!(&response[found.span], found.text);
        }
    }
});
