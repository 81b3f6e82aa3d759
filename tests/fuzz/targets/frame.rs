//! Any frame: read without panic and in bounds. The fuzzer cannot guess a checksum, so every frame is tried a second time
//! with the payload length and the checksum of ICMPv6 put right.
#![no_main]

use l3roamd::net::is_host_address;
use l3roamd::wire::frame::{self, FrameContent};
use libfuzzer_sys::fuzz_target;
use pnet_packet::icmpv6::{self, Icmpv6Packet, MutableIcmpv6Packet};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if let Some(mended) = mend(bytes) {
        check(&mended);
    }
});

fn check(bytes: &[u8]) {
    let Ok(frame) = frame::parse(bytes) else { return };
    assert!(frame.source.is_unicast() && !frame.contents.is_empty());
    for content in frame.contents {
        match content {
            FrameContent::Uses(address) | FrameContent::WantsToUse(address) => {
                assert!(is_host_address(address));
            }
            FrameContent::AskedBy(node) => assert!(is_host_address(node.into())),
            FrameContent::ListensTo(suffixes) => assert!((1..=64).contains(&suffixes.len())),
        }
    }
}

const ETHERNET: usize = 14;
const IPV6: usize = 40;

fn mend(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let packet = bytes.get_mut(ETHERNET..)?;
    let length = packet.len().checked_sub(IPV6)?;
    MutableIpv6Packet::new(packet)?.set_payload_length(length.try_into().ok()?);
    let header = Ipv6Packet::new(packet)?;
    let (source, destination) = (header.get_source(), header.get_destination());
    let extension = match header.get_next_header().0 {
        // Hop-by-hop and destination options.
        0 | 60 => usize::from(*packet.get(IPV6 + 1)?) * 8 + 8,
        _ => 0,
    };
    let message = packet.get_mut(IPV6 + extension..)?;
    let sum = icmpv6::checksum(&Icmpv6Packet::new(message)?, &source, &destination);
    MutableIcmpv6Packet::new(message)?.set_checksum(sum);
    Some(bytes)
}
