//! What objects of others on ubus say, as the loop sees it: networks of netifd become devices, and what hostapd says becomes facts.

use std::time::Duration;

use tracing::{debug, info};

use super::bus::BusLink;
use super::clock::Clock;
use super::run::Daemon;
use super::wanted;
use crate::engine::Input;
use crate::openwrt::netifd::{self, Networks};
use crate::openwrt::ubus::{Event, Ticket};
use crate::openwrt::{hostapd, uci};
use crate::time::Timestamp;

/// The objects that the daemon follows.
pub const WATCHED: &[&str] = &[netifd::OBJECT, hostapd::OBJECTS];
/// Of the calls that ask for networks.
pub const TICKET: Ticket = Ticket(1);

/// How long the start waits for netifd. What an earlier instance left is adopted by what is known then: without the devices of its
/// networks a restart would cut clients off.
const PATIENCE: Duration = Duration::from_secs(1);
/// Events of others that may wait for the end of the start.
const MAX_EARLY: usize = 64;

/// Learns the networks of netifd, where the configuration names any. A system without netifd, or where it does not answer in time, is told
/// of it later or never.
pub async fn learn(bus: &mut BusLink, networks: &mut Networks, clock: &Clock) {
    let learning = async {
        for _ in 0..MAX_EARLY {
            let event = bus.next().await;
            bus.heard(&event);
            if !networks.handle(clock.now(), &event) && !matches!(event, Event::Connected) {
                bus.keep(event);
            }
            ask(bus, networks, clock.now());
            if networks.is_known() {
                break;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, learning).await.is_err() {
        info!("netifd does not say which devices its networks have, going on without");
    }
    networks.take_changed();
}

/// Sends netifd the question that is due.
fn ask(bus: &mut BusLink, networks: &mut Networks, now: Timestamp) {
    if let Some(order) = networks.order(now) {
        if !bus.send(order) {
            networks.not_sent(now);
        }
    }
}

impl Daemon {
    /// Takes in what an object of others tells.
    pub(super) fn follow(&mut self, now: Timestamp, event: &Event) {
        if self.networks.handle(now, event) {
            return;
        }
        let Event::Notification { path, name, data } = event else { return };
        let Some(said) = hostapd::read(path, name, data) else { return };
        let Some(interface) = self.engine.interface_named(&said.interface) else { return };
        let (client, report) = (said.client, said.report);
        self.engine.handle(now, Input::StationReported { interface, client, report });
    }

    /// Asks netifd what is to be asked, and follows what it answered: attaches the devices that networks have now, detaches those that
    /// they have no more.
    pub(super) async fn follow_networks(&mut self, now: Timestamp) {
        ask(&mut self.bus, &mut self.networks, now);
        if !self.networks.take_changed() {
            return;
        }
        let wanted = wanted::wanted(&self.options, &self.networks);
        let commands = self.wanted.difference(&wanted);
        if !commands.is_empty() {
            info!(commands = commands.len(), "networks have other devices now");
        }
        self.adjust(&wanted).await;
        self.wanted = wanted;
        self.obey(&commands).await;
        debug!("networks read");
    }
}

impl uci::Networks for Networks {
    fn find(&self, name: &str) -> uci::Network {
        match self.get(name) {
            None => uci::Network::Unknown,
            Some(network) => network.device.clone().map_or(uci::Network::Down, uci::Network::Up),
        }
    }

    fn of_proto(&self, proto: &str) -> Vec<crate::net::InterfaceName> {
        self.devices_of_proto(proto)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::openwrt::ubus::{Bus, CallId, Order, Orders, Status, Table};
    use crate::openwrt::uci::Networks as _;

    /// Lets the start learn what these events tell.
    fn learned(events: Vec<Event>) -> (BusLink, Networks, Orders) {
        let (told, heard) = mpsc::channel(8);
        events.into_iter().for_each(|event| told.try_send(event).unwrap());
        let (bus, ordered) = Bus::unwoken(8, heard);
        let mut bus = BusLink::new(Some(bus));
        let mut networks = Networks::new(TICKET);
        let clock = Clock::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(learn(&mut bus, &mut networks, &clock));
        (bus, networks, ordered)
    }

    fn dump() -> Event {
        let told = json!({ "interface": [
            { "interface": "client", "up": true, "proto": "static", "l3_device": "br-client", "device": "br-client" },
            { "interface": "guest", "up": false, "proto": "static" },
            { "interface": "mesh", "up": true, "proto": "gluon_mesh", "l3_device": "mesh0", "device": "mesh0" },
        ] });
        Event::Reply { ticket: TICKET, outcome: Ok(told.as_object().unwrap().clone()) }
    }

    #[test]
    fn the_start_waits_for_the_networks_and_keeps_what_else_comes() {
        let call = Event::Call { id: CallId(3), method: 0, arguments: Table::new() };
        let (mut bus, networks, ordered) = learned(vec![Event::Connected, call.clone(), dump()]);
        assert!(matches!(ordered.try_next(), Ok(Order::Call { method: "dump", .. })));
        assert_eq!(bus.kept(), [call]);
        assert_eq!(bus.kept(), [], "once");
        assert!(bus.connection().unwrap().connected);
        let device = |name: &str| uci::Network::Up(name.parse().unwrap());
        assert_eq!(networks.find("client"), device("br-client"));
        assert_eq!(networks.find("guest"), uci::Network::Down);
        assert_eq!(networks.find("eth0"), uci::Network::Unknown);
        assert_eq!(networks.of_proto("gluon_mesh"), ["mesh0".parse().unwrap()]);
    }

    #[test]
    fn the_start_does_not_wait_long_for_a_netifd_that_says_nothing() {
        let refused = Event::Reply { ticket: TICKET, outcome: Err(Status::NotFound) };
        let (mut bus, networks, _ordered) = learned(vec![Event::Connected, refused]);
        assert!(!networks.is_known());
        assert_eq!(bus.kept(), []);
    }
}
