//! Seeded numbers for the tests of both machines.

/// A small generator of numbers (xorshift64*). Its seed is not 0.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The generator of a test's run of that number, from 1 on.
    pub(crate) fn of_run(number: u64) -> Random {
        Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }

    /// Any bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}
