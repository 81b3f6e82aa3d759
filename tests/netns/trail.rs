//! Where probes went: every interface of every node is listened to, so that a lost one is not only missed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::Lab;
use crate::probe::PORT;
use crate::sys::{self, PacketSocket};

/// The intercom's port.
const INTERCOM: [u8; 2] = 5523_u16.to_be_bytes();
/// The capture TUN.
const TUN: &str = "l3roam0";

/// A place and what was seen there: when, node and interface, whether it went out, and whether inside a RELAY.
type Sight = (Duration, String, bool, bool);

/// All that was seen.
pub struct Trail {
    seen: Arc<Mutex<BTreeMap<u32, Vec<Sight>>>>,
    errors: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// The number of an IPv6 probe on its way to a client, as it is or relayed; `None` for everything else.
fn number(packet: &[u8]) -> Option<(u32, bool)> {
    if packet.first()? >> 4 != 6 || *packet.get(6)? != 17 {
        return None;
    }
    let (port, payload) = (packet.get(42..44)?, packet.get(48..)?);
    if port == INTERCOM {
        // Behind the intercom's header of 8 bytes and the relay's own of 8 stands the packet; 40 bytes of IPv6 and 8 of UDP at the end.
        let inner =
            (8..payload.len()).find(|at| number(&payload[*at..]).is_some_and(|(_, relayed)| !relayed))?;
        return number(&payload[inner..]).map(|(number, _)| (number, true));
    }
    (port == PORT.to_be_bytes()).then_some(())?;
    Some((u32::from_be_bytes(payload.get(..4)?.try_into().ok()?), false))
}

/// Whether it is an ICMPv6 error.
fn is_error(packet: &[u8]) -> bool {
    packet.len() > 40 && packet[0] >> 4 == 6 && packet[6] == 58 && packet[40] < 128
}

impl Trail {
    /// Begins to listen at the nodes' interfaces.
    pub fn watch(lab: &Lab) -> Self {
        let mut trail = Self {
            seen: Arc::default(),
            errors: Arc::default(),
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        for (node, name) in lab.nodes.iter().enumerate() {
            let mut interfaces = lab.mesh_interfaces(node);
            interfaces.extend(["ap0", TUN, lab.client_interface()].map(str::to_owned));
            if node == 1 {
                interfaces.push("lan0".to_owned());
            }
            for interface in interfaces {
                let socket = PacketSocket::open(name, &interface);
                let (seen, errors) = (Arc::clone(&trail.seen), Arc::clone(&trail.errors));
                let (stop, place) = (Arc::clone(&trail.stop), format!("{name}:{interface}"));
                let header = if interface == TUN { 0 } else { 14 };
                trail.threads.push(std::thread::spawn(move || {
                    let mut buffer = vec![0; 2048];
                    while !stop.load(Ordering::Relaxed) {
                        let Some((frame, out)) = socket.receive(&mut buffer, Duration::from_millis(50))
                        else {
                            continue;
                        };
                        let Some(packet) = frame.get(header..) else { continue };
                        if let Some((number, relayed)) = number(packet) {
                            let sight = (sys::now(), place.clone(), out, relayed);
                            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                            seen.entry(number).or_default().push(sight);
                        } else if is_error(packet) && place.ends_with(":lan0") {
                            errors.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }));
            }
        }
        trail
    }

    /// Ends.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    /// Where a probe was seen, in the order of time, for people.
    pub fn of(&self, number: u32) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sights = seen.get(&number).cloned().unwrap_or_default();
        sights.sort();
        let first = sights.first().map_or(Duration::ZERO, |sight| sight.0);
        let tell = |(at, place, out, relayed): &Sight| {
            let way = if *out { ">" } else { "<" };
            let relayed = if *relayed { " RELAY" } else { "" };
            format!("{way}{place}{relayed} +{:.1}", (*at - first).as_secs_f64() * 1e3)
        };
        format!(
            "{number} at {:.4} s: {}",
            first.as_secs_f64(),
            sights.iter().map(tell).collect::<Vec<_>>().join(", ")
        )
    }

    /// When a probe was put on an interface first, which is called as in [`Trail::of`].
    pub fn put_on(&self, number: u32, place: &str) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let sights = seen.get(&number)?.iter().filter(|sight| sight.2 && sight.1 == place);
        sights.map(|sight| sight.0).min()
    }

    /// Whether a probe was put on a client port.
    pub fn is_on_air(&self, number: u32) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&number)
            .is_some_and(|sights| sights.iter().any(|sight| sight.2 && sight.1.ends_with(":ap0")))
    }

    /// When a probe was last seen on a capture TUN or inside a RELAY.
    pub fn last_detour(&self) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let detours = seen.values().flatten().filter(|sight| sight.3 || sight.1.ends_with(TUN));
        detours.map(|sight| sight.0).max()
    }

    /// How many ICMP errors were on their way to the correspondent.
    pub fn errors(&self) -> usize {
        self.errors.load(Ordering::Relaxed)
    }
}
