//! Deadlines: when something is due, and why.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
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
    /// Somebody removed a part of the kernel's state that should stand.
    Repair,
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
            Self::Repair => "repair",
            Self::Former(_) => "forget former client",
            Self::Search(_) => "search",
            Self::Drain => "drain",
        }
    }
}

/// A set of keys, each with one deadline.
///
/// The heap takes half the memory of a second tree. What was moved or cleared stays in it until it comes to the top, or until they are
/// more than a quarter of the others.
#[derive(Debug)]
pub(super) struct Deadlines<K> {
    by_key: BTreeMap<K, Timestamp>,
    /// Every deadline in `by_key`, and old ones; the first is none of these.
    by_time: BinaryHeap<Reverse<(Timestamp, K)>>,
}

/// Old deadlines in the heap that are not worth a clearing.
const TOLERATED: usize = 64;

impl<K: Ord + Copy> Deadlines<K> {
    /// No deadlines.
    pub(super) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BinaryHeap::new() }
    }

    /// Sets or moves the deadline of `key`.
    pub(super) fn set(&mut self, key: K, at: Timestamp) {
        if self.by_key.insert(key, at) != Some(at) {
            self.by_time.push(Reverse((at, key)));
            self.tidy();
        }
    }

    /// Removes the deadline of `key`, if it has one.
    pub(super) fn clear(&mut self, key: &K) {
        if self.by_key.remove(key).is_some() {
            self.tidy();
        }
    }

    /// The deadline of `key`, if it has one.
    pub(super) fn get(&self, key: &K) -> Option<Timestamp> {
        self.by_key.get(key).copied()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<(Timestamp, K)> {
        self.by_time.peek().map(|Reverse(first)| *first)
    }

    /// Removes and returns the earliest key whose deadline is not after `now`.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<K> {
        let (at, key) = self.next()?;
        (at <= now).then(|| {
            self.clear(&key);
            key
        })
    }

    /// Takes old deadlines from the top of the heap, and all of them where they are more than a quarter of the others.
    fn tidy(&mut self) {
        let Self { by_key, by_time } = self;
        if by_time.len() > by_key.len() + by_key.len() / 4 + TOLERATED {
            by_time.clear();
            by_time.extend(by_key.iter().map(|(key, at)| Reverse((*at, *key))));
            by_time.shrink_to(by_key.len() + TOLERATED);
        }
        while by_time.peek().is_some_and(|Reverse((at, key))| by_key.get(key) != Some(at)) {
            by_time.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn a_deadline_that_moves_all_the_time_leaves_little_behind() {
        let mut deadlines = Deadlines::new();
        deadlines.set('a', Timestamp::ZERO);
        for at in 1..10_000 {
            deadlines.set('b', Timestamp::from_millis(at));
            deadlines.set('b', Timestamp::from_millis(at));
        }
        assert!(deadlines.by_time.len() <= 3 + TOLERATED, "{}", deadlines.by_time.len());
        assert_eq!(deadlines.pop_due(Timestamp::NEVER), Some('a'));
        assert_eq!(deadlines.next(), Some((Timestamp::from_millis(9999), 'b')));
        deadlines.clear(&'b');
        assert_eq!((deadlines.next(), deadlines.by_time.len()), (None, 0));
    }

    proptest! {
        #[test]
        fn they_behave_as_a_sorted_list_does(steps in proptest::collection::vec((0u8..4, 0u8..6, 0u64..20), 0..400)) {
            let mut deadlines = Deadlines::new();
            let mut list = std::collections::BTreeSet::new();
            for (step, key, ms) in steps {
                let at = Timestamp::from_millis(ms);
                match step {
                    0 => {
                        list.retain(|(_, known)| *known != key);
                        deadlines.clear(&key);
                    }
                    1 => {
                        let due = list.first().copied().filter(|(first, _)| *first <= at);
                        if let Some(due) = due {
                            list.remove(&due);
                        }
                        prop_assert_eq!(deadlines.pop_due(at), due.map(|(_, key)| key));
                    }
                    _ => {
                        list.retain(|(_, known)| *known != key);
                        list.insert((at, key));
                        deadlines.set(key, at);
                    }
                }
                prop_assert_eq!(deadlines.next(), list.first().copied());
                prop_assert_eq!(deadlines.get(&key), list.iter().find(|(_, known)| *known == key).map(|(at, _)| *at));
            }
        }
    }
}
