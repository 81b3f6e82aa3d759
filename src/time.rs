//! Time as an argument.
//!
//! The engine never asks a clock. `std::time::Instant` can neither be built from a number nor printed, so the
//! engine uses its own integer, which starts at zero in tests and can be written to a journal.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A point in time: microseconds since an arbitrary start (in the daemon, of `CLOCK_BOOTTIME`'s origin).
///
/// Arithmetic saturates: nothing that the network or the clock does may overflow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of time.
    pub const ZERO: Self = Self(0);
    /// Later than every deadline that is ever due.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The point `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long before `self` the point `earlier` was; zero where it was not before.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The point `duration` before this one, but not before the start.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Prints seconds with three decimals: `12.345s`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp::NEVER + Duration::MAX, Timestamp::NEVER);
        assert_eq!(Timestamp::ZERO.since(Timestamp::from_millis(1)), Duration::ZERO);
    }

    #[test]
    fn a_timestamp_prints_seconds_with_three_decimals() {
        assert_eq!(Timestamp::from_micros(12_345_678).to_string(), "12.345s");
    }
}
