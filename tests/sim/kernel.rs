//! The kernel of a simulated node: what actions leave in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use l3roamd::engine::output::{HostRoute, Neighbour, RouteKind};
use l3roamd::engine::{Action, DesiredState};
use l3roamd::net::{IfIndex, Mac, Prefix};
use l3roamd::time::Timestamp;

/// The client bridge, its two ports (a wired one and an access point), and the first mesh interface.
pub const BRIDGE: IfIndex = IfIndex(100);
pub const PORTS: [IfIndex; 2] = [IfIndex(101), IfIndex(102)];
pub const FIRST_MESH: u32 = 10;
pub const LOOPBACK: IfIndex = IfIndex(1);

/// Routes, neighbours and addresses that a daemon made.
#[derive(Debug, Default)]
pub struct Kernel {
    /// Host routes by table and address, and where they lead.
    pub routes: BTreeMap<(u32, IpAddr), RouteKind>,
    /// Neighbour entries.
    pub neighbours: BTreeMap<(IfIndex, IpAddr), Mac>,
    /// /128 on `lo`.
    pub node_client_addresses: BTreeSet<Ipv6Addr>,
    /// Prefix routes to the TUN.
    pub prefixes: BTreeSet<Prefix>,
    /// Where the intercom group was joined.
    pub joined: BTreeSet<IfIndex>,
    /// Where frames are heard.
    pub listening: BTreeSet<IfIndex>,
    /// The bridge's forwarding database: port and time of the last frame.
    pub fdb: BTreeMap<Mac, (IfIndex, Timestamp)>,
}

/// How good a node's way to an address is, the better the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    None,
    Drained,
    Served,
}

impl From<RouteKind> for Way {
    fn from(kind: RouteKind) -> Self {
        match kind {
            RouteKind::Served(_) => Self::Served,
            RouteKind::Drained => Self::Drained,
        }
    }
}

/// What the routing daemon announces of an address since.
pub type Announcement = (IpAddr, Way);

impl Kernel {
    /// Carries out an action; tells what the routing daemon sees of it.
    pub fn apply(&mut self, action: &Action) -> Option<Announcement> {
        match action {
            Action::InstallRoute(route) => {
                let before = self.routes.insert((route.table, route.address), route.kind).map(Way::from);
                let way = Way::from(route.kind);
                (before != Some(way)).then_some((route.address, way))
            }
            Action::UninstallRoute(route) => {
                let key = (route.table, route.address);
                let ours = self.routes.get(&key) == Some(&route.kind);
                ours.then(|| self.routes.remove(&key)).map(|_| (route.address, Way::None))
            }
            Action::InstallNeighbour(entry) => {
                self.neighbours.insert((entry.interface, entry.address), entry.client);
                None
            }
            Action::UninstallNeighbour(entry) => {
                self.neighbours.remove(&(entry.interface, entry.address));
                None
            }
            Action::AddNodeClientAddress(address) => {
                self.node_client_addresses.insert(*address).then_some((IpAddr::V6(*address), Way::Served))
            }
            Action::RemoveNodeClientAddress(address) => {
                self.node_client_addresses.remove(address).then_some((IpAddr::V6(*address), Way::None))
            }
            Action::InstallPrefixRoute(prefix) => {
                self.prefixes.insert(*prefix);
                None
            }
            Action::UninstallPrefixRoute(prefix) => {
                self.prefixes.remove(prefix);
                None
            }
            Action::JoinMesh(index) => {
                self.joined.insert(*index);
                None
            }
            Action::LeaveMesh(index) => {
                self.joined.remove(index);
                None
            }
            Action::Listen(index) => {
                self.listening.insert(*index);
                None
            }
            Action::StopListening(index) => {
                self.listening.remove(index);
                None
            }
            Action::Unlearn { port, client } => {
                if self.fdb.get(client).is_some_and(|(behind, _)| behind == port) {
                    self.fdb.remove(client);
                }
                None
            }
            _ => None,
        }
    }

    /// Compares with what should stand, and gives the actions that repair it.
    pub fn reconcile(&self, desired: &DesiredState) -> Vec<Action> {
        let now = self.state();
        let mut repair = Vec::new();
        let missing = desired.neighbours.iter().filter(|entry| !now.neighbours.contains(entry));
        repair.extend(missing.map(|entry| Action::InstallNeighbour(*entry)));
        let missing = desired.routes.iter().filter(|route| !now.routes.contains(route));
        repair.extend(missing.map(|route| Action::InstallRoute(*route)));
        let place = |route: &HostRoute| (route.table, route.address);
        let replaced = |route: &HostRoute| desired.routes.iter().any(|other| place(other) == place(route));
        let surplus = now.routes.iter().filter(|route| !replaced(route));
        repair.extend(surplus.map(|route| Action::UninstallRoute(*route)));
        let kept = |entry: &Neighbour| {
            desired.neighbours.iter().any(|n| (n.interface, n.address) == (entry.interface, entry.address))
        };
        let surplus = now.neighbours.iter().filter(|entry| !kept(entry));
        repair.extend(surplus.map(|entry| Action::UninstallNeighbour(*entry)));
        let (have, want) = (&now.node_client_addresses, &desired.node_client_addresses);
        repair.extend(want.iter().filter(|a| !have.contains(a)).map(|a| Action::AddNodeClientAddress(*a)));
        repair.extend(have.iter().filter(|a| !want.contains(a)).map(|a| Action::RemoveNodeClientAddress(*a)));
        repair
    }

    /// All that stands, in the form of the engine's desired state.
    pub fn state(&self) -> DesiredState {
        let routes = self.routes.iter().map(|((table, address), kind)| HostRoute {
            address: *address,
            kind: *kind,
            table: *table,
        });
        let neighbours = self.neighbours.iter().map(|((interface, address), client)| Neighbour {
            interface: *interface,
            address: *address,
            client: *client,
        });
        let mut state = DesiredState {
            routes: routes.collect(),
            neighbours: neighbours.collect(),
            node_client_addresses: self.node_client_addresses.iter().copied().collect(),
            prefixes: self.prefixes.iter().copied().collect(),
        };
        state.routes.sort();
        state.neighbours.sort();
        state
    }

    /// The interface of the host route to the client of `address`, in the main table.
    pub fn host_route(&self, address: IpAddr) -> Option<IfIndex> {
        match self.routes.get(&(254, address))? {
            RouteKind::Served(interface) => Some(*interface),
            RouteKind::Drained => None,
        }
    }

    /// Whether a drained route leads to the TUN.
    pub fn drains(&self, address: IpAddr) -> bool {
        self.routes.get(&(254, address)) == Some(&RouteKind::Drained)
    }

    /// Whether a prefix leads to the TUN for this address.
    pub fn captures(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(address))
    }
}
