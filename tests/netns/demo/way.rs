//! Where the kernel of the correspondent's node sends packets for the clients, asked again and again.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::demo::journal::Direction;
use crate::demo::stage::{MIDDLE, Stage};
use crate::lab::Lab;
use crate::sys;

/// What is between two questions.
const INTERVAL: Duration = Duration::from_millis(20);

/// Who asks that kernel.
struct Asker {
    socket: Socket,
    devices: Vec<(u32, Direction)>,
}

impl Asker {
    fn new(lab: &Lab) -> Self {
        let named = [
            ("mesh0", Direction::Before),
            ("mesh1", Direction::After),
            (lab.client_interface(), Direction::Here),
            ("l3roam0", Direction::Daemon),
        ];
        sys::inside(&lab.nodes[MIDDLE], || {
            let mut socket = Socket::new(NETLINK_ROUTE).expect("a netlink socket");
            socket.bind_auto().expect("bind");
            socket.connect(&SocketAddr::new(0, 0)).expect("connect to the kernel");
            let index = |(name, direction)| Some((sys::interface_index(name)?, direction));
            Self { socket, devices: named.into_iter().filter_map(index).collect() }
        })
    }

    fn ask(&self, address: Ipv6Addr) -> Direction {
        let mut route = RouteMessage::default();
        route.header.address_family = AddressFamily::Inet6;
        route.header.destination_prefix_length = 128;
        route.attributes.push(RouteAttribute::Destination(address.into()));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(route));
        message.header.flags = NLM_F_REQUEST;
        message.finalize();
        let mut bytes = vec![0; message.header.length as usize];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).expect("the kernel reads");
        let (answer, _) = self.socket.recv_from_full().expect("the kernel answers");
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).expect("an answer");
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = answer.payload else {
            return Direction::Nowhere;
        };
        let leaves_by = |index: u32| {
            let device = self.devices.iter().find(|(device, _)| *device == index);
            device.map(|(_, direction)| *direction)
        };
        let device = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => leaves_by(*index),
            _ => None,
        });
        device.unwrap_or(Direction::Nowhere)
    }
}

/// A direction for people.
pub fn told(stage: &Stage, direction: Option<Direction>) -> String {
    match direction {
        Some(Direction::Before) => format!("to {}", stage.lab.nodes[MIDDLE - 1]),
        Some(Direction::After) => format!("to {}", stage.lab.nodes[MIDDLE + 1]),
        Some(Direction::Here) => "here".into(),
        Some(Direction::Daemon) => "to its l3roamd".into(),
        Some(Direction::Nowhere) | None => "nowhere".into(),
    }
}

/// Notes every change until told to stop.
pub fn follow(stage: &Stage, stop: &AtomicBool) {
    let asker = Asker::new(&stage.lab);
    while !stop.load(Ordering::Relaxed) {
        for (index, guest) in stage.guests.iter().enumerate() {
            let direction = asker.ask(guest.client.v6);
            let mut journal = stage.journal();
            if journal.way(index) == Some(direction) || journal.place(index).is_none() {
                continue;
            }
            journal.ways.push((sys::now(), index, direction));
            drop(journal);
            if !stage.screen.is_terminal() {
                let (name, way) = (guest.name, told(stage, Some(direction)));
                stage
                    .screen
                    .say(&format!("  {} sends packets for the {name} {way}", stage.lab.nodes[MIDDLE]));
            }
        }
        std::thread::sleep(INTERVAL);
    }
}
