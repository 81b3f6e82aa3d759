//! Chance that can be repeated.

use std::time::{Duration, SystemTime};

/// A generator of random numbers (SplitMix64).
pub struct Random(u64);

/// What chance begins with: another number for each mesh, so that what is tried again is not the
/// same once more. `L3ROAMD_SEED` repeats a run, as far as the machine's own timing lets it.
pub fn seed() -> u64 {
    let wish = std::env::var("L3ROAMD_SEED").ok().and_then(|text| text.parse().ok());
    wish.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos())
    })
}

impl Random {
    /// The generator that begins with this number.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `limit` - 1.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// `true` in so many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// A time between two others.
    pub fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        shortest + (longest - shortest) * self.below(1001) as u32 / 1000
    }
}
