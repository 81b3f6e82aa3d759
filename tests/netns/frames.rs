//! Frames of clients, built and read byte by byte: independent of the code under test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use l3roamd::net::Mac;

const BROADCAST: Mac = Mac([0xff; 6]);

fn ethernet(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The Internet checksum (RFC 1071) of an IPv6 payload with its pseudo header (RFC 8200 section 8.1).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> u16 {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes: Vec<u8> = Vec::new();
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend(length);
    bytes.extend([0, 0, 0, next_header]);
    bytes.extend(payload);
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let mut sum: u32 =
        bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
    packet.extend([next_header, 255]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

fn icmpv6(from: Mac, to: Mac, source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = checksum(source, destination, 58, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ethernet(to, from, 0x86dd, &ipv6(source, destination, 58, &message))
}

/// A neighbour solicitation to the target's solicited-node group (RFC 4861 section 4.3). From the unspecified
/// address it is duplicate address detection.
pub fn solicitation(from: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let t = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, t[13], t[14], t[15]]);
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(t);
    if !source.is_unspecified() {
        message.extend([1, 1]);
        message.extend(from.0);
    }
    icmpv6(from, Mac([0x33, 0x33, 0xff, t[13], t[14], t[15]]), source, group, message)
}

/// A neighbour advertisement, solicited and overriding (RFC 4861 section 4.4).
pub fn advertisement(from: Mac, target: Ipv6Addr, to: Mac, destination: Ipv6Addr) -> Vec<u8> {
    flagged_advertisement(0x60, from, target, to, destination)
}

/// An unsolicited one to everybody, as hosts send it when they come to a network (RFC 9131).
pub fn announcement(from: Mac, target: Ipv6Addr) -> Vec<u8> {
    let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    flagged_advertisement(0x20, from, target, Mac([0x33, 0x33, 0, 0, 0, 1]), everybody)
}

fn flagged_advertisement(flags: u8, from: Mac, target: Ipv6Addr, to: Mac, destination: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![136, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(from.0);
    icmpv6(from, to, target, destination, message)
}

/// An ARP request for `target`, broadcast (RFC 826).
pub fn arp_request(from: Mac, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    arp(1, BROADCAST, from, source, Mac([0; 6]), target)
}

fn arp(operation: u8, to: Mac, from: Mac, source: Ipv4Addr, whom: Mac, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    packet.extend(from.0);
    packet.extend(source.octets());
    packet.extend(whom.0);
    packet.extend(target.octets());
    ethernet(to, from, 0x0806, &packet)
}

/// The frame that an access point sends in the name of a station that associates, so that all bridges learn where it is now: an XID
/// response without content to everybody (IEEE 802.2; hostapd's `l2_update`).
pub fn layer_2_update(station: Mac) -> Vec<u8> {
    ethernet(BROADCAST, station, 6, &[0, 1, 0xaf, 0x81, 1, 2])
}

/// What a fake client answers.
pub struct Question {
    /// Who is asked.
    pub target: IpAddr,
    /// What is asked.
    kind: Kind,
}

enum Kind {
    Solicitation { asker: Mac, source: Ipv6Addr },
    Arp { asker: Mac, source: Ipv4Addr },
    Echo6,
    Udp6,
    Udp4,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Reads a frame as a question to a client; `None` for everything else.
pub fn question(frame: &[u8]) -> Option<Question> {
    let asker = Mac(array(frame, 6)?);
    match array::<2>(frame, 12)? {
        [0x86, 0xdd] => {
            let source = Ipv6Addr::from(array::<16>(frame, 22)?);
            let destination = Ipv6Addr::from(array::<16>(frame, 38)?);
            let kind = match (*frame.get(20)?, *frame.get(54)?) {
                (58, 135) => {
                    let target = Ipv6Addr::from(array::<16>(frame, 62)?);
                    return Some(Question {
                        target: target.into(),
                        kind: Kind::Solicitation { asker, source },
                    });
                }
                (58, 128) => Kind::Echo6,
                (17, _) => Kind::Udp6,
                _ => return None,
            };
            Some(Question { target: destination.into(), kind })
        }
        [0x08, 0x06] if *frame.get(21)? == 1 => {
            let source = Ipv4Addr::from(array::<4>(frame, 28)?);
            let target = Ipv4Addr::from(array::<4>(frame, 38)?);
            Some(Question { target: target.into(), kind: Kind::Arp { asker, source } })
        }
        [0x08, 0x00] if *frame.get(23)? == 17 => {
            let target = Ipv4Addr::from(array::<4>(frame, 30)?);
            Some(Question { target: target.into(), kind: Kind::Udp4 })
        }
        _ => None,
    }
}

impl Question {
    /// The answer of the client `me`; `frame` is the one that was read. UDP is echoed.
    pub fn answer(&self, me: Mac, frame: &[u8]) -> Option<Vec<u8>> {
        match (&self.kind, self.target) {
            (Kind::Solicitation { asker, source }, IpAddr::V6(target)) => {
                let to = if source.is_unspecified() { "ff02::1".parse().ok()? } else { *source };
                Some(advertisement(me, target, *asker, to))
            }
            (Kind::Arp { asker, source }, IpAddr::V4(target)) => {
                Some(arp(2, *asker, me, target, *asker, *source))
            }
            (Kind::Echo6, IpAddr::V6(target)) => {
                let source = Ipv6Addr::from(array::<16>(frame, 22)?);
                let mut message = frame.get(54..)?.to_vec();
                message[0] = 129;
                Some(icmpv6(me, Mac(array(frame, 6)?), target, source, message))
            }
            (Kind::Udp6, IpAddr::V6(target)) => {
                let mut answer = turned(me, frame, 22, 16, 54)?;
                // The sender may have left the checksum to a network card that does not exist.
                answer.get_mut(60..62)?.fill(0);
                let correspondent = Ipv6Addr::from(array::<16>(frame, 22)?);
                let sum = checksum(target, correspondent, 17, answer.get(54..)?);
                answer[60..62].copy_from_slice(&sum.to_be_bytes());
                Some(answer)
            }
            (Kind::Udp4, _) => {
                let mut answer = turned(me, frame, 26, 4, 34)?;
                // None (RFC 768).
                answer.get_mut(40..42)?.fill(0);
                Some(answer)
            }
            _ => None,
        }
    }
}

/// The frame on its way back: MAC addresses, IP addresses and ports change places.
fn turned(me: Mac, frame: &[u8], addresses: usize, length: usize, ports: usize) -> Option<Vec<u8>> {
    let mut answer = frame.to_vec();
    answer[0..6].copy_from_slice(frame.get(6..12)?);
    answer[6..12].copy_from_slice(&me.0);
    answer.get_mut(addresses..addresses + 2 * length)?.rotate_left(length);
    answer.get_mut(ports..ports + 4)?.rotate_left(2);
    Some(answer)
}
