//! Duplicate suppression of flooded packets.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::time::Timestamp;

/// What is new about a flooded packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Novelty {
    /// Not seen before.
    New,
    /// Seen before.
    Duplicate,
    /// The table is full: the packet must be dropped, never forwarded unchecked.
    Full,
}

/// The flooded packets seen lately, by an identity that covers everything but the ttl.
///
/// A C daemon's nonce is constant for the life of its process, so (nonce, type) would suppress all but its first SEEK; and it repeats
/// a SEEK every 3 s with the same content, so an identity is forgotten sooner than that.
#[derive(Debug, Default)]
pub(super) struct SeenFloods {
    seen: BTreeSet<u64>,
    order: VecDeque<(Timestamp, u64)>,
}

impl SeenFloods {
    /// Whether a packet of this `identity` is new; remembers it for `age`, with at most `limit` others.
    pub(super) fn check(&mut self, now: Timestamp, identity: u64, age: Duration, limit: usize) -> Novelty {
        while let Some((at, oldest)) = self.order.front().copied() {
            if at + age > now {
                break;
            }
            self.order.pop_front();
            self.seen.remove(&oldest);
        }
        if self.seen.contains(&identity) {
            return Novelty::Duplicate;
        }
        if self.order.len() >= limit {
            return Novelty::Full;
        }
        self.seen.insert(identity);
        self.order.push_back((now, identity));
        Novelty::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_new_once_and_again_after_its_age() {
        let mut seen = SeenFloods::default();
        let age = Duration::from_secs(2);
        assert_eq!(seen.check(Timestamp::ZERO, 1, age, 2), Novelty::New);
        assert_eq!(seen.check(Timestamp::from_millis(1999), 1, age, 2), Novelty::Duplicate);
        assert_eq!(seen.check(Timestamp::from_millis(1999), 2, age, 2), Novelty::New);
        assert_eq!(seen.check(Timestamp::from_millis(1999), 3, age, 2), Novelty::Full);
        assert_eq!(seen.check(Timestamp::from_millis(2000), 1, age, 2), Novelty::New);
    }
}
