//! Packet sockets: neighbour discovery heard on ports of client bridges, and frames sent to clients.
//!
//! A listening socket hears every Ethernet type, because sockets for one type hear nothing on a bridge port, and the kernel
//! drops what is of no interest before it is copied.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll};

use libc::sock_filter;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::is_errno;
use super::sys::{self, link_layer, socket};
use crate::net::IfIndex;

/// All packet sockets.
pub(super) struct Packets {
    listening: BTreeMap<IfIndex, AsyncFd<OwnedFd>>,
    /// The interface that was heard last.
    last: IfIndex,
    /// For sending only: of protocol 0, so nothing is queued on it.
    sender: OwnedFd,
}

impl Packets {
    /// Opens the socket for sending.
    pub(super) fn open() -> io::Result<Self> {
        let sender = socket::open(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        Ok(Self { listening: BTreeMap::new(), last: IfIndex(0), sender })
    }

    /// Listens on an interface, from now on and not a frame earlier. Again is success.
    pub(super) fn listen(&mut self, interface: IfIndex) -> io::Result<()> {
        if self.listening.contains_key(&interface) {
            return Ok(());
        }
        // A socket of protocol 0 hears nothing until it is bound, and then it has its filter already (odhcpd's order).
        let fd = socket::open(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        socket::attach_filter(&fd, &filter())?;
        // Spares the kernel the copies; before 4.20 the filter alone keeps our own frames out.
        let _ = socket::set_option(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            &(1 as libc::c_int),
        );
        link_layer::bind(&fd, interface, libc::ETH_P_ALL as u16)?;
        self.listening.insert(interface, sys::watch(fd, Interest::READABLE)?);
        Ok(())
    }

    /// Stops listening. Where nobody listens is success.
    pub(super) fn stop(&mut self, interface: IfIndex) {
        self.listening.remove(&interface);
    }

    /// Reads one frame into `scratch`, of the interface whose turn it is; gives where and how long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, scratch: &mut [u8]) -> Poll<(IfIndex, usize)> {
        let mut broken = None;
        let later = self.listening.range((Bound::Excluded(self.last), Bound::Unbounded));
        let heard =
            later.chain(self.listening.range(..=self.last)).find_map(|(interface, fd)| {
                match poll_read(fd, context, scratch) {
                    Poll::Ready(Ok(length)) => Some((*interface, length)),
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%interface, %error, "packet socket broke");
                        broken = Some(*interface);
                        None
                    }
                    Poll::Pending => None,
                }
            });
        // It would be ready for ever. It comes back with the next order to listen.
        if let Some(interface) = broken {
            self.listening.remove(&interface);
        }
        match heard {
            Some((interface, length)) => {
                self.last = interface;
                Poll::Ready((interface, length))
            }
            None => Poll::Pending,
        }
    }

    /// Sends a frame out of an interface.
    pub(super) fn send(&self, interface: IfIndex, frame: &[u8]) -> io::Result<()> {
        link_layer::send(&self.sender, interface, frame)
    }
}

fn poll_read(
    fd: &AsyncFd<OwnedFd>,
    context: &mut Context<'_>,
    scratch: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        let mut guard = match fd.poll_read_ready(context) {
            Poll::Ready(Ok(guard)) => guard,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        match guard.try_io(|fd| sys::read(fd.get_ref(), scratch)) {
            // Told once when the interface goes down; the socket hears again when it comes up. Where the interface is gone
            // for good, RTM_DELLINK ends the socket.
            Ok(Err(error)) if is_errno(&error, &[libc::ENETDOWN]) => {}
            Ok(result) => return Poll::Ready(result),
            Err(_would_block) => {}
        }
    }
}

/// The longest frame of interest; the rest is cut off.
const MOST_BYTES: u32 = 2048;
/// Next headers of IPv6.
const HOP_BY_HOP: u32 = 0;
const ICMPV6: u32 = 58;
/// ICMPv6 types: what clients say. Echo reply, MLD reports and done, router and neighbour solicitation, neighbour advertisement.
const ECHO_REPLY: u32 = 129;
const MLD_REPORT: u32 = 131;
const MLD_DONE: u32 = 132;
const ROUTER_SOLICITATION: u32 = 133;
const NEIGHBOUR_SOLICITATION: u32 = 135;
const NEIGHBOUR_ADVERTISEMENT: u32 = 136;
const MLDV2_REPORT: u32 = 143;

/// IPv4's protocol number of IGMP, in which a client names its IPv4 address.
const IGMP: u32 = 2;

/// And what other nodes ask of clients: echo requests with the identifier that this daemon gives them.
const ECHO_REQUEST: u32 = 128;
const ECHO_IDENTIFIER: u32 = crate::wire::intercom::PORT as u32;

/// The kernel's filter: ARP, IGMP, and ICMPv6 of the types above directly behind the IPv6 header or behind a hop-by-hop header
/// (where MLD is); not what we send, nothing with a VLAN tag. A load beyond the frame's end drops it.
fn filter() -> [sock_filter; 33] {
    const ETHERTYPE: u32 = 12;
    const NEXT_HEADER: u32 = 14 + 6;
    const BEHIND_IPV6: u32 = 14 + 40;
    const PROTOCOL: u32 = 14 + 9;
    // Jumps name the instruction they lead to.
    const DIRECT: u8 = 17;
    const MLD: u8 = 25;
    const IPV4: u8 = 28;
    const DROP: u8 = 31;
    const ACCEPT: u8 = 32;
    let word = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let half = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    let byte = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    // The kernel's ancillary data lies at negative offsets.
    let ancillary = |offset: libc::c_int| (libc::SKF_AD_OFF + offset) as u32;
    let equal = |at: u8, value, yes: u8, no: u8| sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: yes - at - 1,
        jf: no - at - 1,
        k: value,
    };
    [
        operation(word, ancillary(libc::SKF_AD_PKTTYPE)),
        equal(1, libc::PACKET_OUTGOING.into(), DROP, 2),
        operation(word, ancillary(libc::SKF_AD_VLAN_TAG_PRESENT)),
        equal(3, 0, 4, DROP),
        operation(half, ETHERTYPE),
        equal(5, libc::ETH_P_ARP as u32, ACCEPT, 6),
        equal(6, libc::ETH_P_IPV6 as u32, 7, IPV4),
        operation(byte, NEXT_HEADER),
        equal(8, ICMPV6, DIRECT, 9),
        equal(9, HOP_BY_HOP, 10, DROP),
        operation(byte, BEHIND_IPV6),
        equal(11, ICMPV6, 12, DROP),
        // The header's length in units of 8 bytes, the first one not counted.
        operation(byte, BEHIND_IPV6 + 1),
        operation(libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K, 3),
        operation(libc::BPF_MISC | libc::BPF_TAX, 0),
        operation(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, BEHIND_IPV6 + 8),
        operation(libc::BPF_JMP | libc::BPF_JA, u32::from(MLD) - 17),
        operation(byte, BEHIND_IPV6),
        equal(18, NEIGHBOUR_SOLICITATION, ACCEPT, 19),
        equal(19, NEIGHBOUR_ADVERTISEMENT, ACCEPT, 20),
        equal(20, ROUTER_SOLICITATION, ACCEPT, 21),
        equal(21, ECHO_REPLY, ACCEPT, 22),
        equal(22, ECHO_REQUEST, 23, MLD),
        operation(half, BEHIND_IPV6 + 4),
        equal(24, ECHO_IDENTIFIER, ACCEPT, DROP),
        equal(25, MLDV2_REPORT, ACCEPT, 26),
        equal(26, MLD_REPORT, ACCEPT, 27),
        equal(27, MLD_DONE, ACCEPT, DROP),
        equal(28, libc::ETH_P_IP as u32, 29, DROP),
        operation(byte, PROTOCOL),
        equal(30, IGMP, ACCEPT, DROP),
        operation(libc::BPF_RET | libc::BPF_K, 0),
        operation(libc::BPF_RET | libc::BPF_K, MOST_BYTES),
    ]
}

/// The filter that accepts nothing, for sockets that only send.
pub(super) fn accept_nothing() -> [sock_filter; 1] {
    [operation(libc::BPF_RET | libc::BPF_K, 0)]
}

fn operation(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel knows of a frame beside its bytes.
    struct Metadata {
        outgoing: bool,
        tagged: bool,
    }

    const RECEIVED: Metadata = Metadata { outgoing: false, tagged: false };

    /// Runs the filter as the kernel does; a load beyond the end drops.
    fn accepts(frame: &[u8], metadata: &Metadata) -> bool {
        let program = filter();
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let code = u32::from(code);
            at += 1;
            let bytes = |offset: u32, count: usize| {
                let offset = offset as usize;
                frame.get(offset..offset + count).map(|b| b.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
            };
            let loaded = match code {
                0x20 if k as i32 == libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE => {
                    Some(if metadata.outgoing { 4 } else { 0 })
                }
                0x20 if k as i32 == libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT => {
                    Some(metadata.tagged.into())
                }
                0x28 => bytes(k, 2),
                0x30 => bytes(k, 1),
                0x50 => bytes(x + k, 1),
                0x64 => Some(a << k),
                0x07 => {
                    x = a;
                    Some(a)
                }
                0x15 => {
                    at += usize::from(if a == k { jt } else { jf });
                    Some(a)
                }
                0x05 => {
                    at += k as usize;
                    Some(a)
                }
                0x06 => return k != 0,
                other => panic!("{other:#x}"),
            };
            match loaded {
                Some(value) => a = value,
                None => return false,
            }
        }
    }

    fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 14 + 40];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[20] = next_header;
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn the_filter_accepts_what_clients_say_of_themselves_and_nothing_else() {
        for kind in 0..=255_u8 {
            let mld = [131, 132, 143].contains(&kind);
            let wanted = mld || [129, 133, 135, 136].contains(&kind);
            assert_eq!(accepts(&ipv6(58, &[kind, 0, 0, 0]), &RECEIVED), wanted, "{kind}");
            assert_eq!(accepts(&ipv6(0, &[58, 0, 5, 2, 0, 0, 1, 0, kind]), &RECEIVED), mld, "{kind}");
            let mut long = vec![58, 2];
            long.resize(24, 0);
            long.push(kind);
            assert_eq!(accepts(&ipv6(0, &long), &RECEIVED), mld, "{kind}");
            assert!(!accepts(&ipv6(0, &[17, 0, 5, 2, 0, 0, 1, 0, kind]), &RECEIVED));
            assert!(!accepts(&ipv6(17, &[kind, 0, 0, 0]), &RECEIVED));
            let mut other = ipv6(58, &[kind, 0, 0, 0]);
            other[12..14].copy_from_slice(&[0x08, 0x00]);
            assert!(!accepts(&other, &RECEIVED));
        }
    }

    #[test]
    fn the_filter_accepts_igmp_and_nothing_else_of_ipv4() {
        for protocol in 0..=255_u8 {
            let mut frame = vec![0; 14 + 32];
            frame[12..14].copy_from_slice(&[0x08, 0x00]);
            frame[14 + 9] = protocol;
            assert_eq!(accepts(&frame, &RECEIVED), protocol == 2, "{protocol}");
        }
    }

    #[test]
    fn the_filter_accepts_the_echo_requests_of_nodes_and_no_others() {
        for (identifier, wanted) in [(5523_u16, true), (1, false)] {
            let [high, low] = identifier.to_be_bytes();
            assert_eq!(accepts(&ipv6(58, &[128, 0, 0, 0, high, low, 0, 0]), &RECEIVED), wanted);
            assert!(!accepts(&ipv6(0, &[58, 0, 5, 2, 0, 0, 1, 0, 128, 0, 0, 0, high, low]), &RECEIVED));
        }
    }

    #[test]
    fn the_filter_drops_what_is_ours_tagged_or_cut_short() {
        let mut arp = vec![0; 42];
        arp[12..14].copy_from_slice(&[8, 6]);
        assert!(accepts(&arp, &RECEIVED));
        for frame in [&arp, &ipv6(58, &[135, 0, 0, 0])] {
            assert!(!accepts(frame, &Metadata { outgoing: true, tagged: false }));
            assert!(!accepts(frame, &Metadata { outgoing: false, tagged: true }));
        }
        let whole = ipv6(0, &[58, 0, 5, 2, 0, 0, 1, 0, 143]);
        for length in 0..whole.len() {
            assert!(!accepts(&whole[..length], &RECEIVED), "{length}");
        }
        assert!(!accepts(&ipv6(0, &[58, 255]), &RECEIVED));
    }
}
