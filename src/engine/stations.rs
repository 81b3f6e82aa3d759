//! Stations: what access points say of clients.
//!
//! | said | what follows |
//! |---|---|
//! | associated | the client is here: its stay and its claim begin, and it is asked until it is heard |
//! | associated, in a dump | it may have gone long ago (access points keep a station for minutes): it is asked, and a client when it is heard; the association of a client served here is believed, unless it was heard on another port |
//! | left | its stay ends, unless it associated elsewhere or was last heard on another port |
//! | expected (hostapd) | as associated, but without association: when it was not heard of again after all questions, its stay ends |
//! | authorized (hostapd) | as associated |
//! | left (hostapd) | as left; where the kernel says that it is associated, it is asked instead |
//! | the interface is gone | all its stations have left |
//!
//! A station is told when it authenticates, before it can answer anything: 6 to 17 ms before with WPA2, longer where a server is asked
//! for its key. So it is asked again and again, with growing distance.
//!
//! The kernel is nearer to the truth than hostapd, whose words come through the bus: a farewell that was on its way for long may be
//! that of an earlier association.

use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use super::client::{AddressState, Evidence};
use super::input::StationReport;
use super::output::{Action, LeaveReason};
use super::timers::Timer;
use crate::net::{IfIndex, Mac, is_link_local};
use crate::time::Timestamp;

/// When a station that was not heard yet is asked, in milliseconds after it associated.
const ASK_AFTER_MS: [u64; 10] = [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120];

/// A station's handshake takes no longer than this, and when it is over it answers: until then packets that were relayed for it wait.
const HANDSHAKE: Duration = Duration::from_millis(640);

/// A station that was not heard since it associated. It may be a client already or, where only a dump told it, not yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Arrival {
    /// The access-point interface.
    port: IfIndex,
    /// When it was told.
    since: Timestamp,
    /// How often it was asked since.
    asked: usize,
    /// Its stay is made of nothing but the expectation that it will come in.
    expected: bool,
}

impl Arrival {
    /// Whether it will be asked again.
    fn is_asked(&self) -> bool {
        self.asked < ASK_AFTER_MS.len()
    }
}

impl Engine {
    pub(super) fn station_associated(&mut self, port: IfIndex, mac: Mac) {
        let Some(interface) = self.interfaces.client_interface_of(port) else { return };
        if !self.config.sources.nl80211 {
            return;
        }
        if self.dumping {
            return self.station_dumped(port, interface, mac);
        }
        self.associated(port, interface, mac, Evidence::Station);
    }

    fn associated(&mut self, port: IfIndex, interface: IfIndex, mac: Mac, evidence: Evidence) {
        let told_before = self.clients.get(&mac).is_some_and(|client| client.association == Some(port));
        if !self.client_noticed(mac, interface, Some(port), evidence) {
            return;
        }
        if let Some(client) = self.clients.get_mut(&mac) {
            let kernel_says = told_before && !client.association_reported;
            client.association = Some(port);
            client.association_reported = evidence == Evidence::Hostapd && !kernel_says;
        }
        self.watch_client(mac);
        if !told_before {
            self.ask_until_heard(port, mac, false);
        }
    }

    pub(super) fn station_reported(&mut self, port: IfIndex, mac: Mac, report: StationReport) {
        let Some(interface) = self.interfaces.client_interface_of(port) else { return };
        if !self.config.sources.hostapd {
            return;
        }
        match report {
            StationReport::Expected => self.station_expected(port, interface, mac),
            StationReport::Authorized => self.associated(port, interface, mac, Evidence::Hostapd),
            StationReport::Left => {
                let client = self.clients.get(&mac);
                if client
                    .is_some_and(|client| client.association == Some(port) && !client.association_reported)
                {
                    self.doubt(mac);
                } else {
                    self.station_left(port, mac);
                }
            }
        }
    }

    /// A client that is here already is only asked: whether it comes to this port is not known yet.
    fn station_expected(&mut self, port: IfIndex, interface: IfIndex, mac: Mac) {
        let new = !self.clients.contains_key(&mac);
        if new && !self.client_noticed(mac, interface, Some(port), Evidence::Hostapd) {
            return;
        }
        let here = self.clients.get(&mac).is_some_and(|client| client.interface == interface);
        let asking = self.arrivals.get(&mac).is_some_and(|arrival| arrival.is_asked());
        if here && !asking {
            self.ask_until_heard(port, mac, new);
        }
    }

    fn station_dumped(&mut self, port: IfIndex, interface: IfIndex, mac: Mac) {
        let Some(client) = self.clients.get_mut(&mac) else {
            let asking =
                self.arrivals.get(&mac).is_some_and(|arrival| arrival.port == port && arrival.is_asked());
            if mac.is_unicast() && !self.interfaces.is_own_mac(mac) && !asking {
                self.ask_until_heard(port, mac, false);
                self.ask(interface, mac, self.now);
            }
            return;
        };
        let here = client.interface == interface && client.port.is_none_or(|heard| heard == port);
        if here && client.association.is_none() {
            client.association = Some(port);
            client.association_reported = false;
            client.port = Some(port);
            self.watch_client(mac);
        }
    }

    pub(super) fn station_left(&mut self, port: IfIndex, mac: Mac) {
        if self.arrivals.get(&mac).is_some_and(|arrival| arrival.port == port) {
            self.forget_arrival(mac);
        }
        let Some(client) = self.clients.get_mut(&mac) else { return };
        if client.association == Some(port) {
            client.association = None;
        }
        if client.association.is_some() {
            return;
        }
        // Where it was heard on another port of this node since, its stay goes on.
        if client.port == Some(port) {
            self.leave(mac, LeaveReason::Disassociated, None);
        } else {
            self.watch_client(mac);
        }
    }

    /// Links are gone, and with them their stations.
    pub(super) fn stations_of_gone_links_left(&mut self) {
        let associated = self.clients.values().filter_map(|client| Some((client.association?, client.mac)));
        let arriving = self.arrivals.iter().map(|(mac, arrival)| (arrival.port, *mac));
        let gone: Vec<(IfIndex, Mac)> =
            associated.chain(arriving).filter(|(port, _)| self.interfaces.name(*port).is_none()).collect();
        for (port, mac) in gone {
            self.station_left(port, mac);
        }
    }

    /// A client was heard on a port: where it associated there, it need not be asked any more, and what waits for it can go.
    pub(super) fn station_heard(&mut self, port: IfIndex, mac: Mac) {
        if self.arrivals.get(&mac).is_some_and(|arrival| arrival.port == port) {
            self.forget_arrival(mac);
            self.release_client(mac);
            if self.clients.get(&mac).is_some_and(|client| client.sequence > 0) {
                self.advertise(mac);
            }
        }
    }

    /// Whether a station associated so short a time ago that its handshake may not be over, and was not heard since.
    pub(super) fn is_still_arriving(&self, mac: Mac) -> bool {
        let arrival = self.arrivals.get(&mac);
        arrival.is_some_and(|arrival| self.now.since(arrival.since) < HANDSHAKE)
    }

    /// A client's stay begins: what a dump said of its association is true, unless it is elsewhere.
    pub(super) fn recall_association(&mut self, mac: Mac) {
        let Some(port) = self.arrivals.get(&mac).map(|arrival| arrival.port) else { return };
        let interface = self.interfaces.client_interface_of(port);
        let Some(client) = self.clients.get_mut(&mac) else { return };
        if interface == Some(client.interface) && client.port.is_none_or(|heard| heard == port) {
            client.association = Some(port);
            client.port = Some(port);
        } else {
            self.forget_arrival(mac);
        }
    }

    pub(super) fn forget_arrival(&mut self, mac: Mac) {
        self.arrivals.remove(&mac);
        self.timers.clear(&Timer::Arrival(mac));
    }

    fn ask_until_heard(&mut self, port: IfIndex, mac: Mac, expected: bool) {
        if self.arrivals.len() >= self.config.tunables.max_clients && !self.arrivals.contains_key(&mac) {
            return;
        }
        self.arrivals.insert(mac, Arrival { port, since: self.now, asked: 0, expected });
        self.set_timer(Timer::Arrival(mac), self.now + Duration::from_millis(ASK_AFTER_MS[0]));
    }

    /// The station was not heard: asks again. That of a dump which never answers stays known, for the association of the client that
    /// it may become.
    pub(super) fn arrival_due(&mut self, mac: Mac) {
        let Some(arrival) = self.arrivals.get_mut(&mac) else { return };
        let Some(interface) = self.interfaces.client_interface_of(arrival.port) else {
            return self.forget_arrival(mac);
        };
        arrival.asked += 1;
        let Arrival { since, asked, expected, .. } = *arrival;
        self.ask(interface, mac, since);
        self.release_client(mac);
        match ASK_AFTER_MS.get(asked) {
            Some(after) => self.set_timer(Timer::Arrival(mac), since + Duration::from_millis(*after)),
            None if expected && self.is_only_expected(mac, since) => {
                self.leave(mac, LeaveReason::Silent, None)
            }
            None if self.clients.contains_key(&mac) => self.forget_arrival(mac),
            None => {}
        }
    }

    /// Whether nothing but hostapd's expectation, told `since`, says that the client is here.
    fn is_only_expected(&self, mac: Mac, since: Timestamp) -> bool {
        self.clients.get(&mac).is_some_and(|client| {
            client.association.is_none() && client.evidence == Evidence::Hostapd && client.last_seen <= since
        })
    }

    /// Asks a station to show itself, and for the addresses that are known of it and that it did not show since.
    fn ask(&mut self, interface: IfIndex, mac: Mac, since: Timestamp) {
        self.act(Action::QueryClient { interface, client: mac });
        let addresses: Vec<IpAddr> = match (self.clients.get(&mac), self.former.get(&mac)) {
            (Some(client), _) => {
                let silent = client.addresses.iter().filter(|(address, entry)| {
                    let shown = entry.state == AddressState::Active && entry.last_seen >= since;
                    !shown && !is_link_local(**address)
                });
                silent.map(|(address, _)| *address).collect()
            }
            (None, Some(former)) => former.record.addresses.keys().copied().collect(),
            (None, None) => Vec::new(),
        };
        for address in addresses {
            self.act(Action::Probe { interface, address, client: Some(mac) });
        }
    }
}
