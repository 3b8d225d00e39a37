//! Every fuzz target for a second, on seeded random and mutated input: no nightly compiler and no libFuzzer needed.

use std::time::{Duration, Instant};

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

/// How long each target runs; FREVO_FUZZ_SECONDS for longer.
fn seconds() -> Duration {
    let wanted = std::env::var("FREVO_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(wanted.unwrap_or(1))
}

/// A small generator (splitmix64), so that a failure can be repeated from the seed that it prints.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn seed() -> u64 {
    std::env::var("FREVO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5EED)
}

/// Runs `body` on random bytes and on mutations of `sample`, until the time is over.
fn run(name: &str, sample: &[u8], body: fn(&[u8])) {
    let (start, mut round) = (Instant::now(), seed());
    while start.elapsed() < seconds() {
        let input = input(&mut Random(round), sample);
        let result = std::panic::catch_unwind(|| body(&input));
        assert!(result.is_ok(), "{name} with FREVO_SEED={round} on {input:02x?}");
        round = round.wrapping_add(1);
    }
    eprintln!("{name}: {} runs", round.wrapping_sub(seed()));
}

fn input(random: &mut Random, sample: &[u8]) -> Vec<u8> {
    if random.below(4) == 0 {
        let length = random.below(512);
        return random.bytes(length);
    }
    let mut data = sample.to_vec();
    for _ in 0..random.below(6) + 1 {
        let at = random.below(data.len());
        data[at] = [0, 1, 0x7F, 0x80, 0xFF, random.next() as u8][random.below(6)];
    }
    data.truncate(random.below(data.len()) + 1);
    data
}

/// One framed ECHO request behind the byte that chooses framing and role.
fn framed_echo() -> Vec<u8> {
    let mut packet = vec![0; 68];
    packet[..6].copy_from_slice(b"\xfeSMB\x40\0");
    packet[12] = 13;
    packet[64] = 4;
    let mut data = vec![0xF0, 0, 0, 0, packet.len() as u8];
    data.extend(packet);
    data
}

#[test]
fn connection() {
    run("connection", &framed_echo(), bodies::connection);
}

/// Two clients connect, write and are answered; then all kinds of things happen.
fn carrier_sample(choice: u8) -> Vec<u8> {
    #[rustfmt::skip]
    let steps = [
        0, 1, 6, 4, 1, 5, 6, 4, 0, 2, 6, 5, 2, 1, 6, 4, 1, 6, 6, 4,
        11, 9, 2, 7, 6, 8, 12, 2, 5, 2, 1, 14, 6, 6, 4, 5, 2, 13, 6, 7,
        11, 40, 3, 2, 7, 5, 9, 0x44, 10, 1, 13, 3, 2, 9, 8, 2, 13, 3, 8, 61,
    ];
    [vec![choice], steps.to_vec()].concat()
}

#[test]
fn carrier_of_a_server() {
    run("carrier", &carrier_sample(0), bodies::carrier::carrier);
}

#[test]
fn the_samples_of_the_carrier_are_conversations() {
    for choice in [0, 1, 2] {
        let seen = bodies::carrier::carried(&carrier_sample(choice));
        assert!(seen.secured == 2 && seen.messages > 5 && seen.answered > 1000, "{choice}: {seen:?}");
    }
}

/// What the target has found, one by one.
#[test]
fn a_client_that_shows_nothing_is_sent_three_times_what_it_sent() {
    // One Initial from nobody, something from elsewhere, then time enough to repeat the answer: quinn-proto alone sends
    // one datagram too many.
    bodies::carrier::carrier(&[0, 15, 0, 10, 3, 8, 20]);
}

#[test]
fn carrier_of_a_client() {
    run("carrier", &carrier_sample(1), bodies::carrier::carrier);
}

/// Both ends of SMB Direct negotiate; then messages of either, and segments that neither has sent.
fn direct_sample(choice: u8) -> Vec<u8> {
    #[rustfmt::skip]
    let steps = [
        5, 0x85, 5, 0x85, 4, 10, 5, 0x85, 5, 0x85, 0, 200, 0x80, 9, 5, 0x85, 0, 0xFE, 5, 0x85, 5, 0x80, 3,
        1, 0, 3, 0, 0, 5, 0, 0, 255, 1, 4, 1, 2, 3, 4, 0, 0, 5, 0x85, 2, 30, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x85,
    ];
    [vec![choice], steps.to_vec()].concat()
}

#[test]
fn direct() {
    for choice in [0, 1, 4, 8 + 2] {
        run("direct", &direct_sample(choice), bodies::direct::direct);
    }
}

#[test]
fn session_request() {
    let name = [b"\x20".as_slice(), &[b'C'; 32], b"\0"].concat();
    run("session_request", &name.repeat(2), bodies::session_request);
}

#[test]
fn submit() {
    run("submit", &[0; 68], bodies::submit);
}

#[test]
fn window() {
    run("window", &[1, 0, 0x11, 2, 0, 0x12, 3, 0, 0x14], bodies::window);
}

#[test]
fn certificate() {
    let names = ["files.example", "127.0.0.1", "*.lan.example"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    run("certificate", made.cert.der(), bodies::certificate);
}
