//! Seeded chance: the same seed gives the same run, to the byte.

use std::time::Duration;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that starts at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 where `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// `true` in `percent` of all cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.next() % 100 < u64::from(percent)
    }

    /// A duration between two others.
    pub fn between(&mut self, range: (Duration, Duration)) -> Duration {
        let spread = u64::try_from(range.1.saturating_sub(range.0).as_micros()).unwrap();
        range.0 + Duration::from_micros(if spread == 0 { 0 } else { self.next() % spread })
    }
}

/// The seeds of a test: the one of `L3ROAMD_SIM_SEED`, or `short` of them, or with `L3ROAMD_LONG` `long` ones.
pub fn seeds(short: u64, long: u64) -> Vec<u64> {
    if let Ok(seed) = std::env::var("L3ROAMD_SIM_SEED") {
        return vec![seed.parse().expect("L3ROAMD_SIM_SEED is a number")];
    }
    (1..=if self::long() { long } else { short }).collect()
}

/// Whether the whole of every test is asked for.
pub fn long() -> bool {
    std::env::var_os("L3ROAMD_LONG").is_some()
}
