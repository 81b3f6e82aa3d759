//! Counts what the daemons say to one another, on the mesh interfaces of every node.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::{Lab, node_address};
use crate::sys::PacketSocket;
use crate::topology::mesh_mac;

const NAMES: [&str; 5] = ["SEEK", "CLAIM", "INFO", "ACK", "RELAY"];

/// Packets that a daemon itself sent (not what the kernel forwards), by type.
pub type Counts = BTreeMap<&'static str, usize>;

/// A running count.
pub struct Capture {
    counts: Arc<Mutex<Counts>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Capture {
    /// Starts counting.
    pub fn start(lab: &Lab) -> Self {
        let counts = Arc::new(Mutex::new(Counts::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (node, name) in lab.nodes.iter().enumerate() {
            for (link, _) in lab.topology.links_of(node) {
                let socket = PacketSocket::open(name, &format!("mesh{link}"));
                let own = [node_address(node), mesh_mac(node, link).link_local()];
                let (counts, stop) = (Arc::clone(&counts), Arc::clone(&stop));
                threads.push(std::thread::spawn(move || count(&socket, &own, &counts, &stop)));
            }
        }
        Self { counts, stop, threads }
    }

    /// Stops; what was counted.
    pub fn stop(mut self) -> Counts {
        // What is in the sockets' buffers still counts.
        std::thread::sleep(Duration::from_millis(100));
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn count(socket: &PacketSocket, own: &[Ipv6Addr], counts: &Mutex<Counts>, stop: &AtomicBool) {
    let mut buffer = vec![0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Some((frame, outgoing)) = socket.receive(&mut buffer, Duration::from_millis(50)) else {
            continue;
        };
        let Some(kind) = intercom(frame, own).filter(|_| outgoing) else { continue };
        let name = NAMES.get(usize::from(kind)).copied().unwrap_or("unknown");
        *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }
}

/// The type of an intercom packet that one of these addresses sent.
fn intercom(frame: &[u8], own: &[Ipv6Addr]) -> Option<u8> {
    let is_udp = frame.get(12..14)? == [0x86, 0xdd] && frame.get(20)? == &17;
    let source: [u8; 16] = frame.get(22..38)?.try_into().ok()?;
    let to_intercom = frame.get(56..58)? == 5523u16.to_be_bytes();
    let sent_here = own.contains(&Ipv6Addr::from(source));
    if is_udp && to_intercom && sent_here { frame.get(64).copied() } else { None }
}
