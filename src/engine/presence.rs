//! Presence: facts from everywhere become "this client is here", and its silence becomes "it is gone".

use std::mem::replace;
use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use super::client::{Client, Evidence};
use super::input::{FdbEntry, FrameHeard, NeighbourFact, NeighbourState};
use super::output::{Action, LeaveReason, Neighbour, Notice};
use super::stats::Counter;
use super::timers::Timer;
use crate::net::{IfIndex, Mac, is_link_local};
use crate::time::Timestamp;
use crate::wire::frame::FrameContent;

/// Frames that were on their way when a client was handed over are read after the CLAIM. Evidence this soon after it is not believed
/// but asked after.
pub(super) const HANDOVER_ECHO: Duration = Duration::from_millis(100);

impl Engine {
    pub(super) fn fdb_seen(&mut self, entry: FdbEntry) {
        let Some(interface) = self.interfaces.client_interface_of_bridge(entry.bridge) else { return };
        if entry.permanent {
            self.interfaces.fixed(entry.mac, entry.port);
            if self.clients.contains_key(&entry.mac) {
                self.leave(entry.mac, LeaveReason::Removed, None);
            }
            return;
        }
        if !self.config.sources.netlink {
            return;
        }
        if self.interfaces.client_interface_of(entry.port).is_none() {
            return; // behind the port of the client interface itself
        }
        if self.is_behind_other_node(entry.mac, Some(entry.port)) {
            return;
        }
        if self.dumping && !self.clients.contains_key(&entry.mac) {
            self.ask_after(entry.mac, interface);
        } else if !self.dumping {
            self.client_noticed(entry.mac, interface, Some(entry.port), Evidence::ForwardingDatabase);
        }
    }

    /// A bridge forgets a MAC after minutes of silence: our own probes know better whether a client is there.
    pub(super) fn fdb_gone(&mut self, entry: FdbEntry) {
        if entry.permanent {
            self.interfaces.no_longer_fixed(entry.mac, entry.port);
        } else {
            self.foreign.forget_mac(entry.mac);
        }
    }

    pub(super) fn frame_heard(&mut self, frame: FrameHeard) {
        if let FrameContent::AskedBy(node) = frame.content {
            return self.node_heard(node, frame.interface);
        }
        let Some(interface) = self.interfaces.client_interface_of(frame.interface) else {
            return self.counters.add(Counter::EvidenceElsewhere);
        };
        // A host route now would lead what waits for the client, and what follows, into nothing.
        if self.interfaces.is_asleep(interface) {
            return self.counters.add(Counter::EvidenceElsewhere);
        }
        self.contest_heard(frame.source, frame.interface, &frame.content);
        if !self.client_noticed(frame.source, interface, Some(frame.interface), Evidence::Frame) {
            return;
        }
        self.station_heard(frame.interface, frame.source);
        match frame.content {
            FrameContent::Uses(address) => self.address_used(frame.source, address),
            FrameContent::WantsToUse(address) => self.address_wanted(frame.source, address),
            FrameContent::ListensTo(suffixes) => self.suffixes_heard(frame.source, &suffixes),
            FrameContent::AskedBy(_) => {}
        }
    }

    pub(super) fn neighbour_seen(&mut self, fact: NeighbourFact) {
        if !self.interfaces.is_client(fact.interface) {
            return;
        }
        let NeighbourFact { interface, address, mac, state, ours } = fact;
        let known = self.holders.get(&address).copied();
        match (state, mac) {
            (NeighbourState::Failed, _) => self.neighbour_failed(interface, address),
            (NeighbourState::Reachable, Some(mac)) if ours && known == Some(mac) => {
                self.address_used(mac, address);
                // A reachable entry would be used unasked for up to 45 s. As a stale one, the kernel verifies it by unicast
                // as soon as traffic flows, and reports the failure within 11 s.
                self.install_neighbour(mac, address);
            }
            (_, Some(mac)) if ours && known.is_some_and(|holder| holder != mac) => {
                self.neighbour_usurped(interface, address);
            }
            (NeighbourState::Probing, Some(mac)) if ours && known == Some(mac) => {
                self.address_unconfirmed(mac, address);
            }
            (NeighbourState::Reachable, Some(mac))
                if !ours && self.config.sources.netlink && !self.dumping =>
            {
                self.neighbour_answered(interface, mac, address);
            }
            (NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Probing, Some(mac))
                if !ours && self.config.sources.netlink =>
            {
                self.neighbour_supposed(interface, mac, address);
            }
            _ => {}
        }
    }

    /// The client has answered a question of the kernel.
    fn neighbour_answered(&mut self, interface: IfIndex, mac: Mac, address: IpAddr) {
        if self.client_noticed(mac, interface, None, Evidence::NeighbourTable) {
            self.address_used(mac, address);
        }
    }

    /// The kernel knows a MAC for the address and does not know whether it is still true: an entry
    /// that ages, or one of a dump. It says nothing about the client. If no client here holds the
    /// address, the client is asked, and its answer is the evidence.
    fn neighbour_supposed(&mut self, interface: IfIndex, mac: Mac, address: IpAddr) {
        let held = self.holders.contains_key(&address)
            || self.clients.get(&mac).is_some_and(|client| client.addresses.contains_key(&address));
        let relevant = self.is_routable(address) || is_link_local(address);
        if relevant
            && !held
            && mac.is_unicast()
            && !self.interfaces.is_own_mac(mac)
            && !self.is_behind_other_node(mac, None)
        {
            self.act(Action::Probe { interface, address, client: Some(mac) });
        }
    }

    /// The kernel asked a client in vain because traffic for it was flowing. (It also reports failure when we remove an entry.)
    fn neighbour_failed(&mut self, interface: IfIndex, address: IpAddr) {
        if let Some(mac) = self.holder_in_use(interface, address) {
            self.install_neighbour(mac, address);
            self.doubt_adoption(mac);
            self.doubt(mac);
        }
    }

    /// The kernel believes anybody who says that an address is theirs now, and sends them its packets. Until the holder has been asked
    /// in vain they are the holder's.
    fn neighbour_usurped(&mut self, interface: IfIndex, address: IpAddr) {
        if let Some(holder) = self.holder_in_use(interface, address) {
            self.install_neighbour(holder, address);
            self.verify_now(holder, address);
        }
    }

    /// Somebody removed an entry that should stand.
    pub(super) fn neighbour_gone(&mut self, interface: IfIndex, address: IpAddr) {
        if let Some(mac) = self.holder_in_use(interface, address) {
            self.install_neighbour(mac, address);
        }
    }

    /// The client on this interface that has the address in use.
    fn holder_in_use(&self, interface: IfIndex, address: IpAddr) -> Option<Mac> {
        self.served_client(address).filter(|client| client.interface == interface).map(|client| client.mac)
    }

    pub(super) fn install_neighbour(&mut self, client: Mac, address: IpAddr) {
        if let Some(interface) = self.clients.get(&client).map(|client| client.interface) {
            if !is_link_local(address) {
                self.act(Action::InstallNeighbour(Neighbour { interface, address, client }));
            }
        }
    }

    /// Takes in a sign of life of a client. Returns whether it is served here now.
    pub(super) fn client_noticed(
        &mut self,
        mac: Mac,
        interface: IfIndex,
        port: Option<IfIndex>,
        evidence: Evidence,
    ) -> bool {
        if !mac.is_unicast() || self.interfaces.is_own_mac(mac) || self.is_behind_other_node(mac, port) {
            return false;
        }
        let now = self.now;
        if let Some(client) = self.clients.get_mut(&mac) {
            client.last_seen = now;
            client.port = port.or(client.port);
            // A run that ended before the claim was settled: its claim is taken up again once the client shows that it is here.
            let unsettled = replace(&mut client.evidence, evidence) == Evidence::Adopted
                && client.is_settled()
                && !client.holds_node_client_address;
            if client.interface != interface {
                self.move_client(mac, interface);
            }
            if unsettled {
                self.recall_and_claim(mac);
            }
            return true;
        }
        if self.is_refused(mac) || self.is_handover_echo(mac, evidence) {
            return false;
        }
        if self.clients.len() >= self.config.tunables.max_clients {
            self.limit_reached(Counter::ClientLimit, "max_clients");
            return false;
        }
        let mut client = Client::new(mac, interface, evidence, now);
        client.port = port;
        self.clients.insert(mac, Box::new(client));
        self.recall_association(mac);
        self.watch_client(mac);
        self.tell(Notice::ClientArrived { client: mac, interface });
        self.recall_and_claim(mac);
        self.act(Action::QueryClient { interface, client: mac });
        true
    }

    /// A client that was handed over a moment ago and seems to be here: asks it instead of believing.
    fn is_handover_echo(&mut self, mac: Mac, evidence: Evidence) -> bool {
        let Some(former) = self.former.get(&mac) else { return false };
        let until = former.since + HANDOVER_ECHO;
        let echo = former.handed_to.is_some() && self.now < until;
        if !echo || matches!(evidence, Evidence::Station | Evidence::Operator) {
            return false;
        }
        self.set_timer(Timer::Recheck(mac), until);
        true
    }

    pub(super) fn recheck_due(&mut self, mac: Mac) {
        let Some(former) = self.former.get(&mac) else { return };
        let interface = former.interface;
        let addresses: Vec<IpAddr> = former.record.addresses.keys().copied().collect();
        if self.interfaces.is_client(interface) {
            self.ask_after(mac, interface);
            for address in addresses {
                self.act(Action::Probe { interface, address, client: Some(mac) });
            }
        }
    }

    /// Asks a MAC that may be a client's to show itself.
    fn ask_after(&mut self, mac: Mac, interface: IfIndex) {
        if mac.is_unicast() && !self.interfaces.is_own_mac(mac) {
            self.act(Action::QueryClient { interface, client: mac });
        }
    }

    /// The client is behind another client interface of this node now: no handover, nothing is lost.
    fn move_client(&mut self, mac: Mac, interface: IfIndex) {
        let Some(client) = self.clients.get_mut(&mac) else { return };
        let old = std::mem::replace(&mut client.interface, interface);
        let routed: Vec<IpAddr> = client.routed().collect();
        let known: Vec<IpAddr> = client.addresses.keys().copied().collect();
        for address in routed {
            self.not_standing(address, true);
            self.not_standing(address, false);
            self.act(Action::InstallNeighbour(Neighbour { interface, address, client: mac }));
            self.act(Action::InstallRoute(self.host_route(address, interface)));
        }
        // The kernel would go on asking the client on the interface that it left.
        for address in known {
            self.act(Action::UninstallNeighbour(Neighbour { interface: old, address, client: mac }));
        }
    }

    /// A client without address in use and without association is forgotten after its time; any other needs no timer for that.
    pub(super) fn watch_client(&mut self, mac: Mac) {
        let Some(client) = self.clients.get(&mac) else { return };
        if client.association.is_some() || client.has_address_in_use() {
            self.timers.clear(&Timer::Client(mac));
        } else {
            self.set_timer(Timer::Client(mac), client.last_seen + self.config.tunables.client_age);
        }
    }

    pub(super) fn client_due(&mut self, mac: Mac) {
        let Some(client) = self.clients.get(&mac) else { return };
        if client.last_seen + self.config.tunables.client_age > self.now {
            self.watch_client(mac);
        } else {
            self.leave(mac, LeaveReason::Silent, None);
        }
    }

    /// Ends the client's stay: everything of it goes from the kernel, and what is worth knowing is remembered.
    pub(super) fn leave(&mut self, mac: Mac, reason: LeaveReason, handed_to: Option<std::net::Ipv6Addr>) {
        if reason == LeaveReason::Disassociated {
            self.drain_client(mac, self.config.tunables.lost_age);
        }
        let Some(client) = self.clients.remove(&mac) else { return };
        for address in client.addresses.keys() {
            self.timers.clear(&Timer::Address(mac, *address));
            if self.holders.get(address) == Some(&mac) {
                self.holders.remove(address);
                self.rivals.remove(address);
            }
        }
        self.timers.clear(&Timer::Client(mac));
        self.timers.clear(&Timer::Claim(mac));
        self.forget_arrival(mac);
        for address in client.routed() {
            if matches!(reason, LeaveReason::Removed | LeaveReason::Unconfirmed) {
                self.withdraw(address);
            }
            if !self.is_drained(address) {
                self.act(Action::UninstallRoute(self.host_route(address, client.interface)));
            }
        }
        // Those of link-local addresses too, which the kernel made: it would go on asking the
        // client here.
        for address in client.addresses.keys().copied() {
            let interface = client.interface;
            self.act(Action::UninstallNeighbour(Neighbour { interface, address, client: mac }));
        }
        if client.holds_node_client_address {
            let address = self.config.node_client_prefix.node_client_address(mac);
            self.act(Action::RemoveNodeClientAddress(address));
        }
        let port =
            client.port.filter(|port| self.config.sources.netlink && self.interfaces.is_client_port(*port));
        if let Some(port) = port {
            // A bridge tells what it learns, not what it knows: should the client return within minutes, its first frame would be no news.
            self.act(Action::Unlearn { port, client: mac });
        }
        self.remember(&client, handed_to);
        self.tell(Notice::ClientLeft { client: mac, reason });
        self.claim_left_window(mac);
    }

    /// How long after its last sign of life an address of this client is asked.
    pub(super) fn probe_interval(&self, client: &Client) -> Duration {
        let tunables = &self.config.tunables;
        let interval = if client.association.is_some() {
            tunables.probe_interval_associated
        } else {
            tunables.probe_interval
        };
        interval.min(MAX_PROBE_INTERVAL)
    }

    /// The time of the last sign of life as the age that a tail carries, in milliseconds.
    pub(super) fn age_ms(&self, last_seen: Timestamp) -> u32 {
        u32::try_from(self.now.since(last_seen).as_millis()).unwrap_or(u32::MAX)
    }
}

/// An address is never asked less often than this, whatever is configured.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(900);
