//! Any packet of a client: its header is read without panic, and the errors about it stay small.
#![no_main]

use l3roamd::wire::{icmp, ip};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    if let Some(header) = ip::parse(packet) {
        assert_eq!(header.source.is_ipv4(), header.destination.is_ipv4());
        if header.error_allowed {
            assert!(!header.source.is_multicast() && !header.source.is_unspecified());
            assert!(!header.destination.is_multicast());
        }
    }
    assert!(icmp::address_unreachable(packet).len() <= 1240);
    assert!(icmp::host_unreachable(packet).len() <= 556);
});
