//! A client, its addresses, and how two opinions about it are merged.

use std::net::{IpAddr, Ipv6Addr};

use super::handover::Stay;
use super::small_map::SmallMap;
use crate::net::{IfIndex, Mac, is_link_local};
use crate::time::Timestamp;

/// How an address of a client stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AddressState {
    /// Known, not used: no host route.
    Inactive,
    /// In use as far as somebody said (INFO, memory, adoption), being verified by probes; has a host route.
    Tentative,
    /// In use as the client itself showed; has a host route.
    Active,
}

impl AddressState {
    /// Whether the address has a host route (unless it is link-local).
    pub const fn in_use(self) -> bool {
        matches!(self, Self::Tentative | Self::Active)
    }

    /// The word for it in status reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Tentative => "tentative",
            Self::Active => "active",
        }
    }
}

/// By what a client was last noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// A frame of neighbour discovery, ARP or MLD.
    Frame,
    /// A bridge learned its MAC.
    ForwardingDatabase,
    /// The kernel's neighbour table.
    NeighbourTable,
    /// An access point's station, as the kernel says.
    Station,
    /// The same, as hostapd says.
    Hostapd,
    /// A command.
    Operator,
    /// Routes left by an earlier run.
    Adopted,
}

impl Evidence {
    /// The word for it in status reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::ForwardingDatabase => "fdb",
            Self::NeighbourTable => "neighbour",
            Self::Station => "station",
            Self::Hostapd => "hostapd",
            Self::Operator => "operator",
            Self::Adopted => "adopted",
        }
    }
}

/// How an address became known first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The client itself showed that it uses it.
    Client,
    /// The client asked whether it may use it (duplicate address detection).
    DuplicateDetection,
    /// INFO of the node that had the client before.
    Info,
    /// The memory of an earlier stay here.
    Memory,
    /// What an earlier run left.
    Adoption,
    /// A command.
    Operator,
}

impl Source {
    /// The word for it in status reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::DuplicateDetection => "dad",
            Self::Info => "info",
            Self::Memory => "memory",
            Self::Adoption => "adopted",
            Self::Operator => "operator",
        }
    }

    /// How an address that became known so is verified.
    pub(super) const fn schedule(self) -> Schedule {
        match self {
            Self::Client | Self::Info | Self::Memory | Self::Operator => Schedule::Liveness,
            Self::DuplicateDetection => Schedule::DuplicateDetection,
            Self::Adoption => Schedule::Adoption,
        }
    }
}

/// One address of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// How it stands.
    pub state: AddressState,
    /// When the client last showed that it uses it; where it never did, when we were told.
    pub last_seen: Timestamp,
    /// How it became known.
    pub source: Source,
    /// Probes sent since then.
    pub(super) probes: u8,
    /// Which schedule its probes follow.
    pub(super) schedule: Schedule,
    /// The kernel has acknowledged its host route, and its neighbour entry.
    pub(super) route_stands: bool,
    pub(super) neighbour_stands: bool,
}

/// The probe schedules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Schedule {
    /// Of an address that somebody vouched for.
    Liveness,
    /// The same, but packets for it are flowing: what does not answer here is sought in the mesh.
    Traffic,
    /// After duplicate address detection: the address may be used about a second later.
    DuplicateDetection,
    /// After a restart: more patience, for what was adopted has a history.
    Adoption,
}

/// A client that is served here.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) mac: Mac,
    pub(super) interface: IfIndex,
    pub(super) port: Option<IfIndex>,
    pub(super) since: Timestamp,
    pub(super) last_seen: Timestamp,
    pub(super) evidence: Evidence,
    /// The access-point interface that it is associated with.
    pub(super) association: Option<IfIndex>,
    /// Only hostapd says so: where the kernel knows of the association too, the kernel tells its end.
    pub(super) association_reported: bool,
    pub(super) addresses: SmallMap<IpAddr, Address>,
    pub(super) stay: Stay,
    /// Whether its node-client address is on `lo`.
    pub(super) holds_node_client_address: bool,
    /// Another node claimed it on older evidence than ours, and it was asked then whether it is still here.
    pub(super) asked: Option<Box<(Ipv6Addr, Timestamp)>>,
    /// The number of this stay: one more than that of the previous node's stay; 0 where no earlier one is known.
    pub(super) sequence: u32,
}

impl Client {
    pub(super) fn new(mac: Mac, interface: IfIndex, evidence: Evidence, now: Timestamp) -> Self {
        Self {
            mac,
            interface,
            port: None,
            since: now,
            last_seen: now,
            evidence,
            association: None,
            association_reported: false,
            addresses: SmallMap::default(),
            stay: Stay::Settled,
            holds_node_client_address: false,
            asked: None,
            sequence: 0,
        }
    }

    /// Who it is.
    pub const fn mac(&self) -> Mac {
        self.mac
    }

    /// The client interface it is on.
    pub const fn interface(&self) -> IfIndex {
        self.interface
    }

    /// The port of the client bridge it was last heard on.
    pub const fn port(&self) -> Option<IfIndex> {
        self.port
    }

    /// When this stay began.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// When it last showed a sign of life.
    pub const fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// By what.
    pub const fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The number of this stay.
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Whether the question who serves it is settled.
    pub const fn is_settled(&self) -> bool {
        matches!(self.stay, Stay::Settled)
    }

    /// Its addresses with their states, sorted; link-local ones included.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &Address)> + '_ {
        self.addresses.iter().map(|(address, entry)| (*address, entry))
    }

    /// The addresses that have a host route.
    pub fn routed(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let in_use = self.addresses.iter().filter(|(_, entry)| entry.state.in_use());
        in_use.map(|(address, _)| *address).filter(|address| !is_link_local(*address))
    }

    /// Whether any address, link-local ones included, is in use.
    pub(super) fn has_address_in_use(&self) -> bool {
        self.addresses.values().any(|entry| entry.state.in_use())
    }

    /// What there is to hand over or to remember: the routed addresses.
    pub(super) fn record(&self) -> Record {
        let addresses = self
            .routed()
            .filter_map(|address| self.addresses.get(&address).map(|entry| (address, entry.last_seen)));
        Record { last_seen: self.last_seen, addresses: addresses.collect() }
    }
}

/// What is known of a client, freed of how we came to know it: the part that is merged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// Its addresses, each with the time it was last seen in use.
    pub addresses: SmallMap<IpAddr, Timestamp>,
}

/// Merges what two sources say of the same client: maxima throughout.
///
/// Commutative, associative and idempotent (property tests below), so that it does not matter in which order, or how often,
/// INFO packets arrive.
pub fn merge(one: &Record, other: &Record) -> Record {
    let mut addresses = one.addresses.clone();
    for (address, seen) in other.addresses.iter() {
        let known = addresses.get(address).copied().unwrap_or(*seen);
        addresses.insert(*address, known.max(*seen));
    }
    Record { last_seen: one.last_seen.max(other.last_seen), addresses }
}

/// What has to change in the kernel when a record becomes another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// Addresses whose host routes are to be installed, sorted.
    pub added: Vec<IpAddr>,
    /// Addresses whose host routes are to be removed, sorted.
    pub removed: Vec<IpAddr>,
}

/// The host routes to install and to remove between two records.
pub fn difference(before: &Record, after: &Record) -> Difference {
    let missing = |from: &Record, to: &Record| {
        from.addresses.keys().filter(|address| !to.addresses.contains_key(*address)).copied().collect()
    };
    Difference { added: missing(after, before), removed: missing(before, after) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Record> {
        let address = (0u8..8).prop_map(|n| IpAddr::from([10, 0, 0, n]));
        let time = (0u64..50).prop_map(Timestamp::from_millis);
        let addresses = proptest::collection::btree_map(address, time.clone(), 0..6);
        (time, addresses).prop_map(|(last_seen, a)| Record { last_seen, addresses: a.into_iter().collect() })
    }

    /// There are thousands of them on routers that have 64 MB in all. What grows needs a reason, and a box where it is rare.
    #[test]
    fn clients_addresses_and_outputs_stay_small() {
        use crate::engine::{Action, Notice, Output};
        assert!(size_of::<Client>() <= 104, "{}", size_of::<Client>());
        assert!(size_of::<Address>() <= 16, "{}", size_of::<Address>());
        assert!(size_of::<Output>() <= 56, "{}", size_of::<Output>());
        assert!(size_of::<Action>() <= 48, "{}", size_of::<Action>());
        assert!(size_of::<Notice>() <= 48, "{}", size_of::<Notice>());
    }

    proptest! {
        #[test]
        fn merge_is_commutative(a in record(), b in record()) {
            prop_assert_eq!(merge(&a, &b), merge(&b, &a));
        }

        #[test]
        fn merge_is_associative(a in record(), b in record(), c in record()) {
            prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
        }

        #[test]
        fn merge_is_idempotent_and_the_empty_record_is_neutral(a in record()) {
            prop_assert_eq!(merge(&a, &a), a.clone());
            prop_assert_eq!(merge(&a, &Record::default()), a);
        }

        #[test]
        fn the_difference_turns_one_record_into_the_other(a in record(), b in record()) {
            let change = difference(&a, &b);
            let mut routes: Vec<IpAddr> = a.addresses.keys().copied().collect();
            routes.retain(|address| !change.removed.contains(address));
            routes.extend(&change.added);
            routes.sort();
            prop_assert_eq!(routes, b.addresses.keys().copied().collect::<Vec<_>>());
        }

        #[test]
        fn merging_never_removes_a_route(a in record(), b in record()) {
            prop_assert!(difference(&a, &merge(&a, &b)).removed.is_empty());
        }
    }
}
