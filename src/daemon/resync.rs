//! When the kernel's state is dumped and compared because events were lost or somebody asked for it.

use std::time::Duration;

use crate::time::Timestamp;

/// Comparisons are at least this far apart: a kernel that overruns us with events must not be answered with dumps only.
const INTERVAL: Duration = Duration::from_millis(200);
/// A comparison that failed is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// Whether and when a comparison is due.
#[derive(Default, Debug)]
pub struct Resync {
    wanted: Option<&'static str>,
    not_before: Timestamp,
}

impl Resync {
    /// The state is no longer known, for this reason.
    pub fn want(&mut self, reason: &'static str) {
        self.wanted.get_or_insert(reason);
    }

    /// When the comparison is due; `None` where none is wanted.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.wanted.map(|_| self.not_before)
    }

    /// Takes the reason of a comparison that is due: it is no longer wanted then.
    pub fn take(&mut self, now: Timestamp) -> Option<&'static str> {
        if self.not_before > now {
            return None;
        }
        let reason = self.wanted.take()?;
        self.not_before = now + INTERVAL;
        Some(reason)
    }

    /// The comparison failed.
    pub fn failed(&mut self, now: Timestamp, reason: &'static str) {
        self.want(reason);
        self.not_before = now + RETRY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_keep_their_distance_and_lost_events_are_never_forgotten() {
        let at = Timestamp::from_millis;
        let mut resync = Resync::default();
        assert_eq!((resync.deadline(), resync.take(at(5))), (None, None));
        resync.want("overrun");
        resync.want("another");
        assert_eq!(resync.take(at(10)), Some("overrun"));
        resync.want("overrun");
        assert_eq!((resync.deadline(), resync.take(at(209))), (Some(at(210)), None));
        assert_eq!(resync.take(at(210)), Some("overrun"));
        resync.failed(at(210), "overrun");
        assert_eq!(resync.take(at(1209)), None);
        assert_eq!(resync.take(at(1210)), Some("overrun"));
        assert_eq!(resync.deadline(), None);
    }
}
