//! Any datagram: read without panic and in bounds, and what was read is written so that it reads the same.
#![no_main]

use l3roamd::wire::intercom::{self, Body};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let mut forwarded = datagram.to_vec();
    if intercom::decrement_ttl(&mut forwarded) {
        assert!(forwarded[1] > 0 && forwarded[1] == datagram[1] - 1);
    }
    if datagram.first() == Some(&0) {
        assert_eq!(intercom::flood_identity(&forwarded), intercom::flood_identity(datagram));
    }

    let Ok(mut packet) = intercom::parse(datagram) else { return };
    match &mut packet.body {
        Body::Seek { tail, .. } | Body::Claim { tail, .. } | Body::Ack { tail, .. } => tail.broken = false,
        Body::Info { addresses, tail, .. } => {
            assert!(addresses.len() * 16 <= datagram.len());
            tail.broken = false;
        }
        Body::Relay { packet, .. } => assert!(packet.len() < datagram.len()),
    }
    assert_eq!(intercom::parse(&intercom::emit(&packet)), Ok(packet));
});
