//! Any NetBIOS names: accepted or refused with one of the codes of RFC 1002, no panic.
#![no_main]

use frevo_dataplane::framing::check_session_request;

libfuzzer_sys::fuzz_target!(|names: &[u8]| {
    if let Err(code) = check_session_request(names) {
        assert!(matches!(code, 0x80 | 0x82 | 0x83 | 0x8F));
    }
});
