//! What kernel and hostapd say of stations, each with the time when it was said.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use l3roamd::net::Mac;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

use crate::sys;

/// What was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// nl80211: a station is there. It cannot answer yet where the network is encrypted.
    New,
    /// nl80211: a station is gone.
    Gone,
    /// hostapd: the 4-way handshake has ended well.
    Connected,
}

/// One line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// When.
    pub at: Duration,
    /// At which node.
    pub node: usize,
    /// What.
    pub sign: Sign,
    /// Of whom.
    pub mac: Mac,
}

/// Everything said so far at all nodes.
#[derive(Clone, Default)]
pub struct Signs(Arc<Mutex<Vec<Entry>>>);

impl Signs {
    /// The first such line since `since`, at any node where `node` is `None`.
    pub fn first(&self, since: Duration, node: Option<usize>, sign: Sign, mac: Mac) -> Option<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |entry: &&Entry| {
            entry.at >= since
                && entry.sign == sign
                && entry.mac == mac
                && node.is_none_or(|node| entry.node == node)
        };
        entries.iter().find(is_it).copied()
    }

    fn note(&self, node: usize, sign: Sign, mac: Mac) {
        let entry = Entry { at: sys::now(), node, sign, mac };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Listens to the kernel in a node's namespace, for good.
    ///
    /// # Panics
    /// Where there is no nl80211.
    pub fn hear_kernel(&self, node: usize, namespace: &str) {
        let socket = sys::inside(namespace, mlme).expect("nl80211 is there");
        let signs = self.clone();
        std::thread::spawn(move || {
            while let Ok((message, _)) = socket.recv_from_full() {
                // Length, type, flags, sequence, port; command, version.
                let Some(command) = message.get(16) else { continue };
                let sign = match *command {
                    19 => Sign::New,
                    20 => Sign::Gone,
                    _ => continue,
                };
                let mac = attribute(message.get(20..).unwrap_or_default(), 6);
                if let Some(mac) = mac.and_then(|bytes| bytes.try_into().ok()) {
                    signs.note(node, sign, Mac(mac));
                }
            }
        });
    }

    /// Listens to a hostapd by its control socket, for good.
    ///
    /// # Panics
    /// Where it does not listen.
    pub fn hear_hostapd(&self, node: usize, control: &Path) {
        let socket = UnixDatagram::bind(format!("/run/signs-{node}")).expect("bind");
        socket.connect(control).expect("hostapd listens");
        socket.send(b"ATTACH").expect("hostapd reads");
        let signs = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let mut words = text.split_whitespace();
                if words.next().is_some_and(|word| word.ends_with("AP-STA-CONNECTED")) {
                    if let Some(mac) = words.next().and_then(|word| word.parse().ok()) {
                        signs.note(node, Sign::Connected, mac);
                    }
                }
            }
        });
    }
}

/// The attributes of a netlink message: type and value.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [l0, l1, t0, t1, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(value) = bytes.get(4..length) else { break };
        found.push((u16::from_ne_bytes([t0, t1]) & 0x3fff, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).into_iter().find(|found| found.0 == kind).map(|found| found.1)
}

/// A socket that hears of stations, in the calling thread's namespace.
fn mlme() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    sys::enlarge_receive_buffer(std::os::fd::AsRawFd::as_raw_fd(&socket));
    // CTRL_CMD_GETFAMILY with CTRL_ATTR_FAMILY_NAME, asked of the controller.
    let mut request = vec![0; 20];
    request[4..6].copy_from_slice(&16u16.to_ne_bytes());
    request[6..8].copy_from_slice(&1u16.to_ne_bytes());
    request[16] = 3;
    request[17] = 1;
    request.extend_from_slice(&12u16.to_ne_bytes());
    request.extend_from_slice(&2u16.to_ne_bytes());
    request.extend_from_slice(b"nl80211\0");
    let length = request.len() as u32;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let groups = attribute(answer.get(20..).unwrap_or_default(), 7).unwrap_or_default();
    let group = attributes(groups).into_iter().find_map(|(_, group)| {
        attribute(group, 1).filter(|name| name.starts_with(b"mlme\0"))?;
        Some(u32::from_ne_bytes(attribute(group, 2)?.try_into().ok()?))
    });
    socket.add_membership(group.ok_or(io::ErrorKind::NotFound)?)?;
    Ok(socket)
}
