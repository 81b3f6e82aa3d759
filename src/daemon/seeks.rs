//! Who waits for an address to be found, over the control socket or ubus: answered late, and never forgotten.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use super::ask::Asker;
use crate::control::Reply;
use crate::engine::output::Place;
use crate::engine::{CommandError, Engine};
use crate::time::Timestamp;

/// Who may wait at the same time.
const MAX_WAITING: usize = 64;

/// Everybody who waits.
#[derive(Default)]
pub struct Seeks(Vec<Seek>);

struct Seek {
    address: IpAddr,
    asker: Asker,
    began: Timestamp,
    until: Timestamp,
}

impl Seeks {
    /// `asker` waits for the address from `now` on, for so long. Gives it back with an answer where too many wait.
    pub fn begin(
        &mut self,
        address: IpAddr,
        asker: Asker,
        now: Timestamp,
        patience: Duration,
    ) -> Result<(), (Asker, Reply)> {
        if self.0.len() >= MAX_WAITING {
            return Err((asker, Reply::Refused(CommandError::Limit("seeks"))));
        }
        self.0.push(Seek { address, asker, began: now, until: now + patience });
        Ok(())
    }

    /// When somebody's patience ends.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.iter().map(|seek| seek.until).min()
    }

    /// The address is there: everybody who waits for it, with the answer.
    pub fn found(
        &mut self,
        engine: &Engine,
        address: IpAddr,
        place: Place,
        now: Timestamp,
    ) -> Vec<(Asker, Reply)> {
        let found = self.0.extract(|seek| seek.address == address);
        found.into_iter().map(|seek| (seek.asker, answer(engine, place, now.since(seek.began)))).collect()
    }

    /// Those whose patience has ended, with the answer.
    pub fn expired(&mut self, now: Timestamp) -> Vec<(Asker, Reply)> {
        let expired = self.0.extract(|seek| seek.until <= now);
        expired.into_iter().map(|seek| (seek.asker, Reply::NotFound)).collect()
    }

    /// Forgets those who cannot be answered any more.
    pub fn retain(&mut self, wanted: impl Fn(&Asker) -> bool) {
        self.0.retain(|seek| wanted(&seek.asker));
    }
}

/// Taking out what fits, in its order (`Vec::extract_if` is too new).
trait Extract<T> {
    fn extract(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T>;
}

impl<T> Extract<T> for Vec<T> {
    fn extract(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let (taken, left) = std::mem::take(self).into_iter().partition(wanted);
        *self = left;
        taken
    }
}

/// Where the address is, and after how long that was known.
fn answer(engine: &Engine, place: Place, after: Duration) -> Reply {
    let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    let table = match place {
        Place::Here { client, interface } => {
            let interface = engine.interface_name(interface).map(ToString::to_string).unwrap_or_default();
            json!({ "found": "here", "mac": client.to_string(), "interface": interface, "after_ms": after_ms })
        }
        Place::Node(node) => json!({ "found": "node", "node": node.to_string(), "after_ms": after_ms }),
        Place::Mesh => json!({ "found": "mesh", "after_ms": after_ms }),
    };
    match table {
        serde_json::Value::Object(table) => Reply::Table(table),
        _ => Reply::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::engine::Config;
    use crate::openwrt::ubus::CallId;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn everybody_who_waits_for_an_address_is_answered_once_and_the_others_when_their_time_is_over() {
        let engine = Engine::new(Config::new("2001:db8::1".parse().unwrap()), 0, Timestamp::ZERO);
        let at = Timestamp::from_millis;
        let mut seeks = Seeks::default();
        for (n, patience) in [(1, 500), (1, 1000), (2, 700)] {
            let begun =
                seeks.begin(address(n), Asker::Bus(CallId(1)), at(100), Duration::from_millis(patience));
            assert!(begun.is_ok());
        }
        assert_eq!(seeks.deadline(), Some(at(600)));
        let answers: Vec<Reply> =
            seeks.found(&engine, address(1), Place::Mesh, at(350)).into_iter().map(|(_, r)| r).collect();
        let Value::Object(expected) = json!({ "found": "mesh", "after_ms": 250 }) else { panic!() };
        assert_eq!(answers, [Reply::Table(expected.clone()), Reply::Table(expected)]);
        assert!(seeks.expired(at(799)).is_empty());
        assert_eq!(seeks.expired(at(800)).len(), 1);
        assert_eq!(seeks.deadline(), None);
    }

    #[test]
    fn no_more_may_wait_than_there_are_places() {
        let mut seeks = Seeks::default();
        let mut begin =
            || seeks.begin(address(1), Asker::Bus(CallId(1)), Timestamp::ZERO, Duration::from_secs(1));
        for _ in 0..MAX_WAITING {
            assert!(begin().is_ok());
        }
        assert!(matches!(begin(), Err((_, Reply::Refused(CommandError::Limit(_))))));
    }
}
