//! Thousands of fake clients behind one port of the air: frames from a packet socket. They answer neighbour
//! solicitations, ARP requests, pings and UDP (as an echo), unless told to be dead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use l3roamd::net::Mac;

use crate::client::Port;
use crate::frames;
use crate::lab::{GATEWAY, GATEWAY4, Lab, ip_batch};
use crate::sys::{self, PacketSocket};

const NAMESPACE: &str = "crowd";

/// The fake clients.
pub struct Crowd {
    port: Port,
    raw: Arc<PacketSocket>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The MAC address of fake client `index`.
pub fn mac(index: u32) -> Mac {
    let [_, high, middle, low] = index.to_be_bytes();
    Mac([2, 0xcc, 0, high, middle, low])
}

/// Its address.
pub fn v6(index: u32) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 2, (index >> 16) as u16, index as u16)
}

/// Its IPv4 address.
pub fn v4(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 42, 128, 0)) + index)
}

fn index(address: IpAddr) -> Option<u32> {
    let index = match address {
        IpAddr::V6(address) => {
            let [.., high, low] = address.segments();
            u32::from(high) << 16 | u32::from(low)
        }
        IpAddr::V4(address) => u32::from(address).checked_sub(u32::from(Ipv4Addr::new(10, 42, 128, 0)))?,
    };
    let own = if address.is_ipv6() { IpAddr::V6(v6(index)) } else { IpAddr::V4(v4(index)) };
    (own == address).then_some(index)
}

impl Crowd {
    /// Makes the port, out of reach; fake clients 0 to `alive` - 1 answer what they are asked.
    pub fn new(lab: &mut Lab, alive: u32) -> Self {
        lab.add_namespace(NAMESPACE);
        sys::sysctl(NAMESPACE, &[("net/ipv6/conf/default/disable_ipv6", "1")]);
        ip_batch(
            "air",
            &format!("link add crowd type veth peer name eth0 netns {NAMESPACE}\nlink set crowd up\n"),
        );
        ip_batch(NAMESPACE, "link set eth0 up promisc on\n");
        let port = Port::new(lab, "crowd");
        let raw = Arc::new(PacketSocket::open(NAMESPACE, "eth0"));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (raw, stop) = (Arc::clone(&raw), Arc::clone(&stop));
            move || answer(&raw, &stop, alive)
        });
        Self { port, raw, stop, thread: Some(thread) }
    }

    /// Moves all of them. The time when they were there.
    pub fn roam(&self, node: Option<usize>) -> Duration {
        self.port.plug(node)
    }

    /// One asks for its gateway.
    pub fn ask_gateway(&self, index: u32, v6: bool) {
        self.raw.send(&if v6 {
            frames::solicitation(mac(index), self::v6(index), GATEWAY)
        } else {
            frames::arp_request(mac(index), v4(index), GATEWAY4)
        });
    }

    /// Many ask for their gateway, `per_second` of them.
    pub fn ask_gateway_each(&self, indices: std::ops::Range<u32>, per_second: u32) {
        let start = sys::now();
        for (turn, index) in indices.enumerate() {
            let due = start + Duration::from_secs(1) * turn as u32 / per_second;
            if let Some(rest) = due.checked_sub(sys::now()) {
                std::thread::sleep(rest);
            }
            self.ask_gateway(index, true);
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(raw: &PacketSocket, stop: &AtomicBool, alive: u32) {
    let mut buffer = vec![0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let Some((frame, outgoing)) = raw.receive(&mut buffer, Duration::from_millis(50)) else { continue };
        let Some(question) = frames::question(frame).filter(|_| !outgoing) else { continue };
        let asked = index(question.target).filter(|index| *index < alive);
        if let Some(answer) = asked.and_then(|index| question.answer(mac(index), frame)) {
            raw.send(&answer);
        }
    }
}
