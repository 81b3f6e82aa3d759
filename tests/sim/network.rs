//! The intercom between nodes: hop by hop, with latency, loss, duplication and reordering.

use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use l3roamd::engine::Input;
use l3roamd::engine::input::IntercomReceived;
use l3roamd::engine::output::IntercomDestination;
use l3roamd::net::IfIndex;
use l3roamd::wire::intercom::{self, GROUP, PORT};

use crate::kernel::LOOPBACK;
use crate::node::NodeId;
use crate::world::{Event, World};

/// Routes that are still moving may form a loop.
const MAX_HOPS: u8 = 64;

impl World {
    /// A daemon sends a datagram.
    pub fn transmit(&mut self, from: NodeId, destination: IntercomDestination, datagram: Vec<u8>) {
        let source = self.nodes[from].address;
        match destination {
            IntercomDestination::Mesh(interface) => {
                for at in self.nodes[from].behind(interface) {
                    self.hop(from, at, source, GROUP, Rc::from(datagram.as_slice()), 0);
                }
            }
            IntercomDestination::Unicast(to) => {
                let bytes = Rc::from(datagram);
                let event = Event::Datagram { at: from, from: None, source, destination: to, bytes, hops: 0 };
                self.after(Duration::ZERO, event);
            }
        }
    }

    fn hop(
        &mut self,
        from: NodeId,
        at: NodeId,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        bytes: Rc<[u8]>,
        hops: u8,
    ) {
        if !self.linked(from, at) {
            return;
        }
        let copies = if self.random.chance(self.conditions.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.chance(self.conditions.loss) {
                self.traffic.intercom_lost += 1;
                continue;
            }
            let delay = self.random.between(self.conditions.latency);
            let bytes = Rc::clone(&bytes);
            self.after(delay, Event::Datagram { at, from: Some(from), source, destination, bytes, hops });
        }
    }

    /// A datagram reaches a node: it is for its daemon, or goes on.
    pub fn datagram_at(
        &mut self,
        at: NodeId,
        from: Option<NodeId>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        bytes: &Rc<[u8]>,
        hops: u8,
    ) {
        let node = &self.nodes[at];
        let own = node.address == destination || node.kernel.node_client_addresses.contains(&destination);
        if destination.is_multicast() || own {
            let interface = from.map_or(Some(LOOPBACK), |from| node.interface_towards(from));
            return self.received(at, interface, source, destination, bytes);
        }
        let target = self.nodes.iter().position(|node| node.address == destination);
        let target = target.or_else(|| self.nearest(at, IpAddr::V6(destination)));
        let next = target.and_then(|target| self.paths.get(at, target)).filter(|_| hops < MAX_HOPS);
        match next {
            Some((_, next)) => self.hop(at, next, source, destination, Rc::clone(bytes), hops + 1),
            None => self.traffic.intercom_unroutable += 1,
        }
    }

    fn received(
        &mut self,
        at: NodeId,
        interface: Option<IfIndex>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        bytes: &[u8],
    ) {
        let node = &self.nodes[at];
        let Some(interface) = interface.filter(|_| node.up) else { return };
        if destination.is_multicast() && !node.kernel.joined.contains(&interface) {
            return;
        }
        let packet = intercom::parse(bytes);
        if let Ok(packet) = &packet {
            self.audit_received(at, &packet.body);
        }
        let datagram = bytes.to_vec();
        let received = IntercomReceived { interface, source, port: PORT, destination, packet, datagram };
        self.tell(at, Input::IntercomReceived(received));
    }
}
