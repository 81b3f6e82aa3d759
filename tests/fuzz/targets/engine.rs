//! Any list of facts and commands: the engine neither panics nor spins, keeps its bounds, and its actions add up to its desired state.
#![no_main]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use l3roamd::engine::input::*;
use l3roamd::engine::{Action, Command, Config, Engine, Input, Output};
use l3roamd::net::{IfIndex, Mac, Prefix};
use l3roamd::time::Timestamp;
use l3roamd::wire::frame::FrameContent;
use l3roamd::wire::intercom;
use libfuzzer_sys::fuzz_target;

/// Few names for everything, so that facts meet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn mac(&mut self) -> Mac {
        Mac([2, 0, 0, 0, 0, self.next() % 8])
    }

    fn address(&mut self) -> IpAddr {
        let byte = self.next();
        let low = u16::from(byte >> 3);
        match byte & 7 {
            0 => IpAddr::V4(Ipv4Addr::new(10, 0, 0, low as u8)),
            1 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, low)),
            2 => IpAddr::V6(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0xff, 0xfe00, low)),
            _ => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, low)),
        }
    }

    fn interface(&mut self) -> IfIndex {
        IfIndex(u32::from(self.next() % 6))
    }

    fn slice(&mut self) -> Vec<u8> {
        let (head, rest) = self.0.split_at(usize::from(self.next()).min(self.0.len()));
        self.0 = rest;
        head.to_vec()
    }

    fn link(&mut self, index: u32) -> Link {
        let (name, bridge, master) = match index {
            1 => ("mesh0", false, None),
            2 => ("br-client", true, None),
            _ => ("port", false, Some(IfIndex(2))),
        };
        let name = format!("{name}{}", if index > 2 { index.to_string() } else { String::new() });
        let up = self.next() % 8 != 0;
        let (index, mac) = (IfIndex(index), Some(Mac([6, 0, 0, 0, 0, index as u8])));
        Link { index, name: name.parse().expect("a name"), mac, up, running: up, master, bridge, peer: None }
    }

    fn input(&mut self) -> Option<Input> {
        Some(match self.next() % 21 {
            0 | 1 => Input::Timeout,
            2 => {
                let index = u32::from(self.next() % 5) + 1;
                Input::LinkSeen(self.link(index))
            }
            3 => Input::LinkGone(self.interface()),
            4 => {
                let (bridge, port, mac) = (self.interface(), self.interface(), self.mac());
                Input::FdbSeen(FdbEntry { bridge, port, mac, permanent: self.next() % 8 == 0 })
            }
            5 => {
                let states = [
                    NeighbourState::Reachable,
                    NeighbourState::Stale,
                    NeighbourState::Failed,
                    NeighbourState::Incomplete,
                ];
                let state = states[usize::from(self.next() % 4)];
                let (interface, address, mac) = (self.interface(), self.address(), Some(self.mac()));
                Input::NeighbourSeen(NeighbourFact { interface, address, mac, state, ours: self.next() % 2 == 0 })
            }
            6 => Input::NeighbourGone { interface: self.interface(), address: self.address() },
            7 => Input::HostRouteSeen(self.address()),
            8 => {
                let found = match self.next() % 3 {
                    0 => RouteLookup::HostRoute { interface: self.interface(), protocol: 42 },
                    1 => RouteLookup::Local,
                    _ => RouteLookup::Other,
                };
                Input::RouteLookedUp { address: self.address(), found }
            }
            9 => {
                let (address, interface, client) = (self.address(), self.interface(), Some(self.mac()));
                Input::RouteAdopted { address, interface, table: 254, client }
            }
            10 => Input::DumpStarted,
            11 => Input::DumpCompleted,
            12 | 13 => {
                let content = match self.next() % 3 {
                    0 => FrameContent::Uses(self.address()),
                    1 => FrameContent::WantsToUse(self.address()),
                    _ => FrameContent::ListensTo(vec![[0, 0, self.next()]]),
                };
                Input::FrameHeard(FrameHeard { interface: self.interface(), source: self.mac(), content })
            }
            14 => Input::StationAssociated { interface: self.interface(), client: self.mac() },
            15 => Input::StationLeft { interface: self.interface(), client: self.mac() },
            16 | 17 => {
                let datagram = self.slice();
                let node = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
                let destination = if self.next() % 2 == 0 { intercom::GROUP } else { node };
                let interface = self.interface();
                let packet = intercom::parse(&datagram);
                let elsewhere = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);
                let source = packet.as_ref().map_or(elsewhere, |packet| packet.sender);
                let port = intercom::PORT;
                Input::IntercomReceived(IntercomReceived { interface, source, port, destination, packet, datagram })
            }
            18 => Input::PacketForUnknown(self.slice()),
            19 => {
                let report = match self.next() % 3 {
                    0 => StationReport::Expected,
                    1 => StationReport::Authorized,
                    _ => StationReport::Left,
                };
                Input::StationReported { interface: self.interface(), client: self.mac(), report }
            }
            _ => return None,
        })
    }

    fn command(&mut self) -> Option<Command> {
        let (mac, address) = (self.mac(), self.address());
        let line = match self.next() % 8 {
            0 => format!("add-address {address} {mac}"),
            1 => format!("remove-address {address} {mac}"),
            2 => format!("drop-client {mac}"),
            3 => "detach-client-interface br-client".into(),
            4 => "attach-client-interface br-client".into(),
            5 => "remove-prefix 10.0.0.0/8".into(),
            6 => "add-prefix 10.0.0.0/8".into(),
            _ => format!("set-export-table {}", u16::from(self.next()) + 1),
        };
        line.parse().ok()
    }
}

fuzz_target!(|data: &[u8]| {
    let mut config = Config::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
    config.prefixes = ["2001:db8::/64", "10.0.0.0/8"].map(|text| text.parse().expect("a prefix")).into();
    config.mesh_interfaces = vec!["mesh0".parse().expect("a name")];
    config.client_interfaces = vec!["br-client".parse().expect("a name")];
    config.tunables.max_clients = 5;
    config.tunables.max_former = 3;
    config.tunables.max_addresses = 4;
    config.tunables.max_queue_packets = 6;
    let mut engine = Engine::new(config, 1, Timestamp::ZERO);
    let (mut bytes, mut now) = (Bytes(data), Timestamp::ZERO);
    let node_prefix: Prefix = "fd00::/64".parse().expect("a prefix");
    let (mut routes, mut held) = (BTreeSet::new(), BTreeSet::new());
    for index in 1..=4 {
        let link = Bytes(&[1]).link(index);
        engine.handle(now, Input::LinkSeen(link));
    }
    while !bytes.0.is_empty() {
        now = now + Duration::from_millis(u64::from(bytes.next()).pow(2));
        match bytes.input() {
            Some(input) => engine.handle(now, input),
            None => {
                if let Some(command) = bytes.command() {
                    let _ = engine.command(now, &command);
                }
            }
        }
        engine.handle(now, Input::Timeout);
        assert!(engine.poll_timeout().is_none_or(|(due, _)| due > now), "a due timer is left: the loop would spin");
        while let Some(output) = engine.poll() {
            match output {
                Output::Action(Action::InstallRoute(route)) => drop(routes.insert(route)),
                Output::Action(Action::UninstallRoute(route)) => drop(routes.remove(&route)),
                Output::Action(Action::AddNodeClientAddress(address)) => drop(held.insert(address)),
                Output::Action(Action::RemoveNodeClientAddress(address)) => drop(held.remove(&address)),
                // Nodes are where the kernel says; other routes are the fuzzer's.
                Output::Action(Action::LookupRoute(address)) if node_prefix.contains(address) => {
                    let found = RouteLookup::HostRoute { interface: IfIndex(1), protocol: 42 };
                    engine.handle(now, Input::RouteLookedUp { address, found });
                }
                _ => {}
            }
        }
        let desired = engine.desired_state();
        // A route that is replaced in place (another interface) is installed once and never removed.
        routes.retain(|route| desired.routes.iter().all(|d| d.address != route.address || d == route));
        assert_eq!(desired.routes, routes.iter().copied().collect::<Vec<_>>());
        assert_eq!(desired.node_client_addresses, held.iter().copied().collect::<Vec<_>>());
        assert!(engine.clients().count() <= 5 && engine.former_count() <= 3 && engine.waiting().0 <= 6);
        assert!(engine.clients().all(|client| client.routed().count() <= 4));
    }
    engine.shut_down(now);
    assert!(engine.poll_timeout().is_none());
});
