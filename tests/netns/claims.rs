//! The CLAIMs that pass the mesh interfaces of all nodes.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use l3roamd::net::Mac;
use l3roamd::wire::intercom::{self, Body};

use crate::journey::intercom_type;
use crate::lab::{Lab, node_address};
use crate::sys::{self, PacketSocket};

/// The type byte of a CLAIM.
const CLAIM: u8 = 1;
/// The traffic class of control messages.
const NETWORK_CONTROL: u8 = 0xc0;
/// Behind Ethernet, IPv6 and UDP.
const DATAGRAM: usize = 62;

/// The traffic class of an IPv6 packet in an Ethernet frame.
fn traffic_class(frame: &[u8]) -> Option<u8> {
    Some(frame.get(14)? << 4 | frame.get(15)? >> 4)
}

/// A CLAIM that passed a mesh interface.
struct Sight {
    at: Duration,
    node: usize,
    out: bool,
    class: Option<u8>,
    /// The node that made it, and its client.
    content: Option<(Ipv6Addr, Mac)>,
}

impl Sight {
    fn new(node: usize, frame: &[u8], out: bool) -> Self {
        let content = frame.get(DATAGRAM..).and_then(|datagram| intercom::parse(datagram).ok());
        let content = content.and_then(|packet| match packet.body {
            Body::Claim { client, .. } => Some((packet.sender, client)),
            _ => None,
        });
        Self { at: sys::now(), node, out, class: traffic_class(frame), content }
    }
}

/// All CLAIMs that passed mesh interfaces.
pub struct Claims {
    seen: Arc<Mutex<Vec<Sight>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Claims {
    /// Begins.
    pub fn watch(lab: &Lab) -> Self {
        let mut claims =
            Self { seen: Arc::default(), stop: Arc::new(AtomicBool::new(false)), threads: Vec::new() };
        for (node, name) in lab.nodes.iter().enumerate() {
            for interface in lab.mesh_interfaces(node) {
                let socket = PacketSocket::open(name, &interface);
                let (seen, stop) = (Arc::clone(&claims.seen), Arc::clone(&claims.stop));
                claims.threads.push(std::thread::spawn(move || {
                    let mut buffer = vec![0; 2048];
                    while !stop.load(Ordering::Relaxed) {
                        let Some((frame, out)) = socket.receive(&mut buffer, Duration::from_millis(50))
                        else {
                            continue;
                        };
                        if intercom_type(frame) == Some(CLAIM) {
                            let sight = Sight::new(node, frame, out);
                            seen.lock().unwrap_or_else(PoisonError::into_inner).push(sight);
                        }
                    }
                }));
            }
        }
        claims
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Sight>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first CLAIM since `since` that left a node, or came to it.
    pub fn first(&self, since: Duration, node: usize, out: bool) -> Option<Duration> {
        let seen = self.seen();
        let times = seen.iter().filter(|sight| sight.at >= since && sight.node == node && sight.out == out);
        times.map(|sight| sight.at).min()
    }

    /// When `node` sent CLAIMs of its own for the client, since `since`.
    pub fn by(&self, since: Duration, node: usize, client: Mac) -> Vec<Duration> {
        let content = Some((node_address(node), client));
        let seen = self.seen();
        let own = seen
            .iter()
            .filter(|sight| sight.at >= since && sight.node == node && sight.out && sight.content == content);
        own.map(|sight| sight.at).collect()
    }

    /// Whether all were marked as network control.
    pub fn are_marked(&self) -> bool {
        self.seen().iter().all(|sight| sight.class == Some(NETWORK_CONTROL))
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
