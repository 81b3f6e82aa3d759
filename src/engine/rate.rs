//! Token buckets and the engine's random numbers.

use std::time::Duration;

use crate::time::Timestamp;

/// At most `rate` per second, and as many at once. Holds at most one second's worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    /// Microseconds of credit.
    credit: u64,
    filled: Timestamp,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { credit: 1_000_000, filled: now }
    }

    /// Takes one token of `rate` per second; `false` where there is none. A rate of 0 has none ever.
    pub(super) fn take(&mut self, now: Timestamp, rate: u32) -> bool {
        let gained = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        self.credit = self.credit.saturating_add(gained).min(1_000_000);
        self.filled = self.filled.max(now);
        let Some(price) = 1_000_000_u64.checked_div(u64::from(rate)) else { return false };
        match self.credit.checked_sub(price) {
            Some(rest) => {
                self.credit = rest;
                true
            }
            None => false,
        }
    }
}

/// SplitMix64: nonces need to differ, not to be secret.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn nonce(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// `duration` made shorter or longer by up to an eighth, so that many timers do not fall together.
    pub(super) fn jitter(&mut self, duration: Duration) -> Duration {
        let eighth = u64::try_from(duration.as_micros() / 8).unwrap_or(u64::MAX).max(1);
        let offset = Duration::from_micros(self.next_u64() % eighth);
        if self.next_u64() & 1 == 0 {
            duration.saturating_add(offset)
        } else {
            duration.saturating_sub(offset)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more() {
        let mut bucket = TokenBucket::new(Timestamp::ZERO);
        let taken = |bucket: &mut TokenBucket, now| (0..1000).filter(|_| bucket.take(now, 50)).count();
        assert_eq!(taken(&mut bucket, Timestamp::ZERO), 50);
        assert_eq!(taken(&mut bucket, Timestamp::from_millis(100)), 5);
        assert_eq!(taken(&mut bucket, Timestamp::from_millis(60_000)), 50);
        assert!(!bucket.take(Timestamp::NEVER, 0));
    }
}
