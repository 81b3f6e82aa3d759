//! Actions that the kernel refused, told to the operator once for each change and not once for each attempt.

use std::collections::BTreeSet;

use tracing::{debug, info, warn};

use super::log::Sensitive;
use crate::engine::Action;
use crate::engine::input::FailureReason;
use crate::engine::output::IntercomDestination;

/// Failing objects that are remembered. Where more fail at once the log has said enough.
const MAX_FAILING: usize = 1024;

/// What fails at present.
#[derive(Default, Debug)]
pub struct Failures {
    failing: BTreeSet<Object>,
}

/// What one action is about, apart from doing or undoing it.
pub type Object = (Kind, String);

/// The kind of thing that an action is about: an install that failed is forgotten when its uninstall succeeds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Route,
    Neighbour,
    NodeClientAddress,
    PrefixRoute,
    Mesh,
    Listening,
    Lookup,
    Intercom,
    Probe,
    Forwarding,
    Packet,
    Unreachable,
    Table,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Route => "host route",
            Self::Neighbour => "neighbour",
            Self::NodeClientAddress => "node-client address",
            Self::PrefixRoute => "prefix route",
            Self::Mesh => "mesh interface",
            Self::Listening => "listening",
            Self::Lookup => "route lookup",
            Self::Intercom => "intercom",
            Self::Probe => "probe",
            Self::Forwarding => "forwarding entry",
            Self::Packet => "waiting packet",
            Self::Unreachable => "unreachable message",
            Self::Table => "comparison",
        }
    }
}

/// The object of an action, without what differs from attempt to attempt (datagrams, packets).
fn object(action: &Action) -> Object {
    match action {
        Action::InstallRoute(r) | Action::UninstallRoute(r) => {
            (Kind::Route, format!("{} {:?} table {}", r.address, r.kind, r.table))
        }
        Action::InstallNeighbour(n) | Action::UninstallNeighbour(n) => {
            (Kind::Neighbour, format!("{} interface {}", n.address, n.interface))
        }
        Action::AddNodeClientAddress(a) | Action::RemoveNodeClientAddress(a) => {
            (Kind::NodeClientAddress, a.to_string())
        }
        Action::InstallPrefixRoute(p) | Action::UninstallPrefixRoute(p) => (Kind::PrefixRoute, p.to_string()),
        Action::JoinMesh(i) | Action::LeaveMesh(i) => (Kind::Mesh, i.to_string()),
        Action::Listen(i) | Action::StopListening(i) => (Kind::Listening, i.to_string()),
        Action::LookupRoute(_) => (Kind::Lookup, String::new()),
        Action::SendIntercom { destination, .. } => match destination {
            // One line for all nodes that cannot be reached: a mesh that converges has many for a moment.
            IntercomDestination::Unicast(_) => (Kind::Intercom, "unicast".to_owned()),
            IntercomDestination::Mesh(i) => (Kind::Intercom, format!("interface {i}")),
        },
        Action::Probe { interface, .. }
        | Action::QueryClient { interface, .. }
        | Action::Advertise { interface, .. }
        | Action::Announce { port: interface, .. } => (Kind::Probe, format!("interface {interface}")),
        Action::Unlearn { port, client } => (Kind::Forwarding, format!("{client} interface {port}")),
        Action::ReleasePacket(_) => (Kind::Packet, String::new()),
        Action::SendUnreachable { .. } => (Kind::Unreachable, String::new()),
        Action::Rescan | Action::Reconcile => (Kind::Table, String::new()),
    }
}

impl Failures {
    /// An action failed. Its first failure is a warning for its kind, further objects of the kind are told at debug.
    pub fn failed(&mut self, action: &Action, reason: FailureReason) {
        let (kind, object) = object(action);
        let reason = match reason {
            FailureReason::Occupied => "another program's entry stands there",
            FailureReason::Refused => "the kernel refused",
        };
        let of_kind = self.failing.iter().any(|(other, _)| *other == kind);
        if self.failing.len() >= MAX_FAILING || self.failing.contains(&(kind, object.clone())) {
            return;
        }
        if !of_kind {
            warn!(action = kind.name(), object = %Sensitive(&object), reason, "action failed");
        } else {
            debug!(action = kind.name(), object = %Sensitive(&object), reason, "action failed");
        }
        self.failing.insert((kind, object));
    }

    /// What to remember of an action that may succeed: nothing, as long as nothing fails.
    pub fn watched(&self, action: &Action) -> Option<Object> {
        (!self.failing.is_empty()).then(|| object(action))
    }

    /// An action of which [`Failures::watched`] remembered this succeeded.
    pub fn succeeded(&mut self, watched: Option<Object>) {
        let Some(key) = watched else { return };
        if self.failing.remove(&key) {
            if self.failing.iter().any(|(other, _)| *other == key.0) {
                debug!(action = key.0.name(), object = %Sensitive(&key.1), "action succeeded again");
            } else {
                info!(action = key.0.name(), "actions succeed again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_once_and_forgotten_with_success_or_undoing() {
        let mut failures = Failures::default();
        let prefix = "10.0.0.0/8".parse().unwrap();
        for _ in 0..3 {
            failures.failed(&Action::InstallPrefixRoute(prefix), FailureReason::Refused);
        }
        assert_eq!(failures.failing.len(), 1);
        let watched = failures.watched(&Action::UninstallPrefixRoute(prefix));
        failures.succeeded(watched);
        assert!(failures.failing.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut failures = Failures::default();
        for n in 0..2 * MAX_FAILING as u128 {
            let address = std::net::Ipv6Addr::from_bits(n);
            failures.failed(&Action::AddNodeClientAddress(address), FailureReason::Refused);
        }
        assert_eq!(failures.failing.len(), MAX_FAILING);
    }

    #[test]
    fn datagrams_to_many_nodes_are_one_failure() {
        let mut failures = Failures::default();
        for n in 0..9 {
            let destination = IntercomDestination::Unicast(std::net::Ipv6Addr::from_bits(n));
            let action = Action::SendIntercom { destination, datagram: vec![0; 24] };
            failures.failed(&action, FailureReason::Refused);
        }
        assert_eq!(failures.failing.len(), 1);
    }
}
