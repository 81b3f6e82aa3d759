//! Clients: they talk or stay silent, answer when asked, roam, and leave.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use l3roamd::engine::Input;
use l3roamd::engine::input::{FdbEntry, FrameHeard};
use l3roamd::net::Mac;
use l3roamd::wire::frame::FrameContent;

use crate::kernel::{BRIDGE, PORTS};
use crate::node::NodeId;
use crate::world::{Event, World};

/// The number of a client in its world.
pub type ClientId = usize;

/// hostapd gives up a station that was silent for so long (`ap_max_inactivity`).
const STATION_INACTIVITY: Duration = Duration::from_secs(300);

/// By what a node notices that a client has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notices {
    /// A frame of neighbour discovery (and the bridge learns the MAC).
    Frame,
    /// The bridge learns the MAC from a frame that says nothing.
    Bridge,
    /// The access point's station; the client answers only some milliseconds later.
    Station,
    /// Nothing.
    Nothing,
}

/// A client.
#[derive(Clone, Debug)]
pub struct SimClient {
    /// Who.
    pub mac: Mac,
    /// Its routable addresses.
    pub addresses: Vec<IpAddr>,
    /// Those that it has shown.
    pub shown: BTreeSet<IpAddr>,
    /// Where it is.
    pub at: Option<NodeId>,
    /// Counts its stays: frames of an earlier one are lost.
    pub stay: u32,
    /// Behind which port.
    pub port: usize,
    /// Whether it answers.
    pub answers: bool,
    /// How often it says something by itself.
    pub talks: Option<Duration>,
}

impl SimClient {
    /// Whether it has the address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address) || address == IpAddr::V6(self.mac.link_local())
    }
}

impl World {
    /// A new client, nowhere yet, with so many addresses (the last of several is IPv4).
    pub fn add_client(&mut self, addresses: usize) -> ClientId {
        let id = self.clients.len();
        let number = u16::try_from(id).unwrap();
        let [high, low] = number.to_be_bytes();
        let mac = Mac([2, 0xc1, 0, 0, high, low]);
        let v6 = |k: usize| format!("2001:db8:1::{number:x}:{:x}", k + 1).parse().unwrap();
        let v4 = IpAddr::from([10, 1, high, low]);
        let addresses: Vec<IpAddr> =
            (0..addresses).map(|k| if k > 0 && k + 1 == addresses { v4 } else { v6(k) }).collect();
        for address in &addresses {
            self.by_address.insert(*address, id);
        }
        self.by_mac.insert(mac, id);
        let (shown, port) = (BTreeSet::new(), id % 2);
        let client = SimClient { mac, addresses, shown, at: None, stay: 0, port, answers: true, talks: None };
        self.clients.push(client);
        id
    }

    /// A client takes one more address: duplicate address detection, then use a second later.
    pub fn add_address(&mut self, id: ClientId, address: IpAddr) {
        self.clients[id].addresses.push(address);
        self.by_address.insert(address, id);
        self.says(id, FrameContent::WantsToUse(address), Duration::ZERO);
        self.says(id, FrameContent::Uses(address), Duration::from_secs(1));
    }

    /// Brings a client to a node and has it show all its addresses.
    pub fn attach(&mut self, id: ClientId, node: NodeId) {
        self.roam(id, Some(node), Notices::Frame);
        self.show_all(id);
    }

    /// The client uses each of its addresses.
    pub fn show_all(&mut self, id: ClientId) {
        for address in self.clients[id].addresses.clone() {
            self.says(id, FrameContent::Uses(address), Duration::ZERO);
        }
    }

    /// The client says something every so often from now on.
    pub fn talks_every(&mut self, id: ClientId, period: Duration) {
        self.clients[id].talks = Some(period);
        let first = self.random.between((Duration::ZERO, period));
        self.after(first, Event::Talk { client: id });
    }

    /// Due words of a client that talks.
    pub fn talk(&mut self, id: ClientId) {
        let Some(period) = self.clients[id].talks else { return };
        let count = self.clients[id].addresses.len();
        let address = self.clients[id].addresses[self.random.below(count)];
        self.says(id, FrameContent::Uses(address), Duration::ZERO);
        self.after(period, Event::Talk { client: id });
    }

    /// The client goes to another node, or away.
    pub fn roam(&mut self, id: ClientId, to: Option<NodeId>, notices: Notices) {
        let client = &mut self.clients[id];
        let (mac, from) = (client.mac, client.at);
        client.at = to;
        client.stay += 1;
        let port = PORTS[client.port];
        if let Some(from) = from.filter(|from| Some(*from) != to) {
            if let Some((_, stay)) = self.nodes[from].stations.get(&mac).copied() {
                let noticed = self.random.chance(self.conditions.leave_notice);
                let delay =
                    if noticed { self.random.between(self.conditions.air) } else { STATION_INACTIVITY };
                self.after(delay, Event::StationGone { node: from, client: mac, stay });
            }
        }
        let Some(to) = to else { return };
        if let Some(station) = self.nodes[to].stations.get_mut(&mac) {
            station.1 = self.clients[id].stay; // it is associated anew
        }
        let delay = self.random.between(self.conditions.air);
        match notices {
            Notices::Frame => {
                let first = self.clients[id].addresses.first().copied();
                let address = first.unwrap_or(IpAddr::V6(mac.link_local()));
                self.says(id, FrameContent::Uses(address), Duration::ZERO);
            }
            Notices::Bridge => {
                self.nodes[to].kernel.fdb.insert(mac, (port, self.now));
                let entry = FdbEntry { bridge: BRIDGE, port, mac, permanent: false };
                self.tell_after(delay, to, Input::FdbSeen(entry));
            }
            Notices::Station => {
                self.clients[id].port = 1;
                let stay = self.clients[id].stay;
                self.nodes[to].stations.insert(mac, (PORTS[1], stay));
                self.tell_after(
                    Duration::ZERO,
                    to,
                    Input::StationAssociated { interface: PORTS[1], client: mac },
                );
                // Authentication comes 6 to 17 ms before anything else.
                self.says(id, FrameContent::Uses(IpAddr::V6(mac.link_local())), Duration::from_millis(17));
            }
            Notices::Nothing => {}
        }
    }

    /// The access point gives up a station, unless it has associated anew.
    pub fn station_gone(&mut self, node: NodeId, client: Mac, stay: u32) {
        let Some((interface, _)) = self.nodes[node].stations.get(&client).copied().filter(|s| s.1 == stay)
        else {
            return;
        };
        self.nodes[node].stations.remove(&client);
        if self.nodes[node].up {
            self.tell(node, Input::StationLeft { interface, client });
        }
    }

    /// The client sends a frame from where it is.
    pub fn says(&mut self, id: ClientId, content: FrameContent, after: Duration) {
        let delay = after + self.random.between(self.conditions.air);
        let stay = self.clients[id].stay;
        self.after(delay, Event::Frame { client: id, stay, content });
    }

    /// A frame comes to the port, if the client is still there.
    pub fn frame_sent(&mut self, id: ClientId, stay: u32, content: FrameContent) {
        let client = &mut self.clients[id];
        let Some(node) = client.at.filter(|_| client.stay == stay) else { return };
        if let FrameContent::Uses(address) = content {
            if client.addresses.contains(&address) {
                client.shown.insert(address);
            }
        }
        let (source, port) = (client.mac, PORTS[client.port]);
        let before = self.nodes[node].kernel.fdb.insert(source, (port, self.now));
        if !self.nodes[node].up {
            return;
        }
        if self.nodes[node].kernel.listening.contains(&port) {
            self.tell(node, Input::FrameHeard(FrameHeard { interface: port, source, content }));
        }
        if before.is_none_or(|(old, _)| old != port) {
            let entry = FdbEntry { bridge: BRIDGE, port, mac: source, permanent: false };
            self.tell(node, Input::FdbSeen(entry));
        }
    }

    /// A daemon asks on its client interface who has an address.
    pub fn probed(&mut self, node: NodeId, address: IpAddr, asked: Option<Mac>) {
        self.traffic.probes += 1;
        // A link-local address follows from the MAC; a routable one has one client in the world.
        let candidate = asked.and_then(|mac| self.by_mac.get(&mac)).or_else(|| self.by_address.get(&address));
        let Some(id) = candidate.copied() else { return };
        let client = &self.clients[id];
        if client.at == Some(node) && client.answers && client.has(address) {
            self.answer(id, FrameContent::Uses(address));
        }
    }

    /// A daemon asks a client for all it has.
    pub fn queried(&mut self, node: NodeId, asked: Mac) {
        self.traffic.probes += 1;
        let Some(id) = self.by_mac.get(&asked).copied() else { return };
        let client = &self.clients[id];
        if client.at != Some(node) || !client.answers {
            return;
        }
        let suffixes = client.addresses.iter().filter_map(|address| match address {
            IpAddr::V6(address) => {
                let o = address.octets();
                Some([o[13], o[14], o[15]])
            }
            IpAddr::V4(_) => None,
        });
        let listens = FrameContent::ListensTo(suffixes.collect());
        self.answer(id, listens);
        self.answer(id, FrameContent::Uses(IpAddr::V6(asked.link_local())));
    }

    fn answer(&mut self, id: ClientId, content: FrameContent) {
        if !self.random.chance(self.conditions.air_loss) {
            self.says(id, content, Duration::ZERO);
        }
    }
}
