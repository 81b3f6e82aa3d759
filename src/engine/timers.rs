//! Deadlines: when something is due, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::net::Mac;
use crate::time::Timestamp;

/// Everything the engine may wait for. A timer that names a client belongs to one stay of it and is gone with the stay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// The next CLAIM for the client, unicast or flooded, or the end of the wait for an answer.
    Claim(Mac),
    /// The next INFO for a client handed over to the node.
    Info(Mac, std::net::Ipv6Addr),
    /// The next probe of an address, or the end of its patience.
    Address(Mac, IpAddr),
    /// A client without address and association has been silent long enough to be forgotten.
    Client(Mac),
    /// A station that was not heard yet is asked again.
    Arrival(Mac),
    /// Evidence of a client that had just been handed over is to be looked at again.
    Recheck(Mac),
    /// Clients that were handed over did not answer that they are still here.
    Contest,
    /// A former client is old enough to be forgotten.
    Former(Mac),
    /// The next local probe or SEEK for an address, or the age of a packet that waits for it.
    Search(IpAddr),
    /// The time of the drained route that goes first is over.
    Drain,
}

impl Timer {
    /// The reason in a word, for logs.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Claim(_) => "claim",
            Self::Info(..) => "info",
            Self::Address(..) => "probe",
            Self::Client(_) => "forget client",
            Self::Arrival(_) => "ask station",
            Self::Recheck(_) => "recheck",
            Self::Contest => "contest",
            Self::Former(_) => "forget former client",
            Self::Search(_) => "search",
            Self::Drain => "drain",
        }
    }
}

/// A set of keys, each with one deadline.
#[derive(Debug)]
pub(super) struct Deadlines<K> {
    by_key: BTreeMap<K, Timestamp>,
    by_time: BTreeSet<(Timestamp, K)>,
}

impl<K: Ord + Copy> Deadlines<K> {
    /// No deadlines.
    pub(super) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Sets or moves the deadline of `key`.
    pub(super) fn set(&mut self, key: K, at: Timestamp) {
        self.clear(&key);
        self.by_key.insert(key, at);
        self.by_time.insert((at, key));
    }

    /// Removes the deadline of `key`, if it has one.
    pub(super) fn clear(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, *key));
        }
    }

    /// The deadline of `key`, if it has one.
    pub(super) fn get(&self, key: &K) -> Option<Timestamp> {
        self.by_key.get(key).copied()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<(Timestamp, K)> {
        self.by_time.first().copied()
    }

    /// Removes and returns the earliest key whose deadline is not after `now`.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<K> {
        let (at, key) = self.next()?;
        (at <= now).then(|| {
            self.clear(&key);
            key
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_of_time_and_a_moved_one_comes_once() {
        let mut deadlines = Deadlines::new();
        deadlines.set('a', Timestamp::from_millis(5));
        deadlines.set('b', Timestamp::from_millis(3));
        deadlines.set('a', Timestamp::from_millis(1));
        deadlines.set('c', Timestamp::from_millis(2));
        deadlines.clear(&'c');
        assert_eq!(deadlines.pop_due(Timestamp::ZERO), None);
        assert_eq!(deadlines.pop_due(Timestamp::from_millis(9)), Some('a'));
        assert_eq!(deadlines.pop_due(Timestamp::from_millis(9)), Some('b'));
        assert_eq!(deadlines.pop_due(Timestamp::NEVER), None);
        assert!(deadlines.next().is_none());
    }
}
