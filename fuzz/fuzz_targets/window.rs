//! Any sequence of requests and grants: no id is taken twice, the client never holds more than the maximum.
#![no_main]

use std::collections::HashSet;

use frevo_dataplane::window::Window;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut window = Window::new(100);
    let mut taken = HashSet::new();
    for step in data.chunks_exact(3) {
        let id = u64::from(u16::from_le_bytes([step[0], step[1]])) % 4096;
        let charge = u16::from(step[2] >> 4);
        if window.consume(id, charge).is_ok() {
            (id..id + u64::from(charge)).for_each(|id| assert!(taken.insert(id)));
        }
        window.grant(u16::from(step[2] & 15), true);
        assert!((1..=100).contains(&window.held()));
    }
});
