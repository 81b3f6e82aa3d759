use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const NODE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xa);
const CLIENT: Mac = Mac([2, 0, 0x5e, 0x10, 0, 1]);

fn packet(body: Body) -> Packet {
    Packet { ttl: TTL_UNICAST, capabilities: Capabilities(0), nonce: 0x0102_0304, sender: NODE, body }
}

fn info(addresses: Vec<Ipv6Addr>) -> Packet {
    packet(Body::Info { plat: None, client: CLIENT, addresses, tail: Tail::default() })
}

fn addresses(count: u16) -> Vec<Ipv6Addr> {
    (1..=count).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)).collect()
}

/// A header of `kind` and what follows it.
fn datagram(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = emit(&info(vec![]))[..HEADER_LENGTH].to_vec();
    bytes[2] = kind;
    bytes.extend_from_slice(rest);
    bytes
}

#[test]
fn what_ends_early_is_truncated_wherever_it_ends() {
    for whole in [info(addresses(2)), packet(Body::Claim { client: CLIENT, tail: Tail::default() })] {
        let bytes = emit(&whole);
        for end in 0..bytes.len() {
            let error = parse(&bytes[..end]).unwrap_err();
            // Between two TLVs the packet is whole but for the one that carries the meaning.
            let missing = end == HEADER_LENGTH || end == HEADER_LENGTH + 20;
            let expected = if missing { ParseError::Missing } else { ParseError::Truncated };
            assert_eq!(error, expected, "{end} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn all_but_packets_of_clients_is_network_control() {
    let relay = packet(Body::Relay { hops: 0, sequence: 1, packet: vec![0x60; 40] });
    let claim = packet(Body::Claim { client: CLIENT, tail: Tail::default() });
    let class = |packet: &Packet| traffic_class(&emit(packet));
    assert_eq!([&relay, &claim, &info(addresses(2))].map(class), [0, 0xc0, 0xc0]);
    assert_eq!(traffic_class(&[]), 0xc0);
}

#[test]
fn lengths_that_cannot_be_are_named() {
    let bad = |tlv| Err(ParseError::BadLength { tlv });
    assert_eq!(parse(&datagram(kind::CLAIM, &[0, 0])), bad(0));
    assert_eq!(parse(&datagram(kind::CLAIM, &[9, 1])), bad(9));
    assert_eq!(parse(&datagram(kind::CLAIM, &[0, 7, 1, 2, 3, 4, 5])), bad(0));
    assert_eq!(parse(&datagram(kind::SEEK, &[&[0, 19][..], &[0; 17]].concat())), bad(0));
    assert_eq!(parse(&datagram(kind::INFO, &[&[0, 19][..], &[0; 17]].concat())), bad(0));
    assert_eq!(parse(&datagram(kind::INFO, &[1, 7, 1, 2, 3, 4, 5])), bad(1));
    assert_eq!(parse(&datagram(kind::INFO, &[&[1, 25][..], &[0; 23]].concat())), bad(1));
}

#[test]
fn versions_types_and_ttls_that_we_do_not_speak_are_refused() {
    let mut bytes = emit(&info(vec![]));
    bytes[TTL_OFFSET] = 0;
    assert_eq!(parse(&bytes), Err(ParseError::TtlZero));
    bytes[TTL_OFFSET] = 1;
    bytes[2] = 5;
    assert_eq!(parse(&bytes), Err(ParseError::UnknownType(5)));
    assert_eq!(parse(&[1]), Err(ParseError::UnsupportedVersion(1)));
    assert_eq!(parse(&[]), Err(ParseError::Truncated));
}

#[test]
fn basic_tlvs_add_up_and_other_repetitions_replace() {
    let mut bytes = emit(&info(addresses(1)));
    let again = emit(&info(addresses(3)));
    bytes.extend_from_slice(&again[HEADER_LENGTH + 20..]);
    let Ok(Packet { body: Body::Info { addresses: got, .. }, .. }) = parse(&bytes) else { panic!() };
    assert_eq!(got, [addresses(1), addresses(3)].concat());

    let claim = datagram(kind::CLAIM, &[0, 8, 2, 0, 0, 0, 0, 1, 0, 8, 2, 0, 0, 0, 0, 2]);
    let client = Mac([2, 0, 0, 0, 0, 2]);
    assert_eq!(parse(&claim).unwrap().body, Body::Claim { client, tail: Tail::default() });
}

#[test]
fn addresses_of_a_second_client_are_not_given_to_the_first() {
    let mut bytes = emit(&info(addresses(1)));
    let mut other = emit(&info(addresses(3)))[HEADER_LENGTH + 20..].to_vec();
    other[2] ^= 4;
    bytes.extend_from_slice(&other);
    assert_eq!(parse(&bytes), Ok(info(addresses(1))));
}

#[test]
fn unknown_tlvs_are_skipped() {
    let bytes = datagram(kind::CLAIM, &[77, 2, 0, 8, 2, 0, 0x5e, 0x10, 0, 1, 99, 5, 1, 2, 3]);
    let tail = Tail::default();
    assert_eq!(parse(&bytes).unwrap().body, Body::Claim { client: CLIENT, tail });
}

#[test]
fn what_says_no_plat_prefix_is_none() {
    let said =
        |plat| emit(&packet(Body::Info { plat, client: CLIENT, addresses: vec![], tail: Tail::default() }));
    assert_eq!(said(Some(Plat::NONE)), said(None));
    assert_eq!(parse(&said(None)), Ok(info(vec![])));
}

#[test]
fn more_addresses_than_a_tlv_holds_go_into_the_next() {
    let lengths = |count| {
        let bytes = emit(&info(addresses(count)));
        let mut reader = Reader::new(&bytes[HEADER_LENGTH..]);
        let mut lengths = vec![];
        while !reader.is_empty() {
            lengths.push(reader.tlv().unwrap().1.len() + 2);
        }
        lengths
    };
    assert_eq!(lengths(0), [20, 8]);
    assert_eq!(lengths(15), [20, 248]);
    assert_eq!(lengths(16), [20, 248, 24]);
    assert_eq!(lengths(31), [20, 248, 248, 24]);
}

#[test]
fn a_hop_is_counted_until_none_is_left() {
    let mut bytes = emit(&info(vec![]));
    bytes[TTL_OFFSET] = 3;
    assert!(decrement_ttl(&mut bytes) && decrement_ttl(&mut bytes));
    assert_eq!(bytes[TTL_OFFSET], 1);
    assert!(!decrement_ttl(&mut bytes));
    assert!(!decrement_ttl(&mut bytes));
    assert_eq!(bytes[TTL_OFFSET], 0);
}

#[test]
fn what_is_no_flood_of_ours_is_not_forwarded() {
    let mut short = [0, 255, 0];
    assert!(!decrement_ttl(&mut short) && !decrement_ttl(&mut []));
    let mut version = datagram(kind::SEEK, &[]);
    version[..2].copy_from_slice(&[1, 255]);
    assert!(!decrement_ttl(&mut version));
    assert_eq!(version[TTL_OFFSET], 255);
    let mut relay = datagram(kind::RELAY, &[0; 8]);
    relay[TTL_OFFSET] = 255;
    assert!(!decrement_ttl(&mut relay));
}

#[test]
fn a_flood_is_identified_by_everything_but_its_ttl() {
    let bytes = emit(&info(addresses(1)));
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert_eq!(flood_identity(&other) == flood_identity(&bytes), at == TTL_OFFSET, "byte {at}");
    }
    assert_ne!(flood_identity(&bytes), flood_identity(&bytes[..bytes.len() - 1]));
    let _ = (flood_identity(&[]), flood_identity(&[0]), flood_identity(&[0, 0]));
}

fn any_address() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(Ipv6Addr::from_bits)
}

fn any_tail() -> impl Strategy<Value = Tail> {
    (any::<Option<u32>>(), any::<Option<u32>>(), any::<Option<u8>>(), any::<u8>()).prop_map(
        |(age_ms, sequence, hops, flags)| Tail { age_ms, sequence, hops, flags: Flags(flags), broken: false },
    )
}

fn any_body() -> impl Strategy<Value = Body> {
    let client = || any::<[u8; 6]>().prop_map(Mac);
    let plat = (any::<u16>(), any_address())
        .prop_map(|(lease, prefix)| Plat { lease, prefix })
        .prop_filter("the normal form of no prefix is None", |plat| *plat != Plat::NONE);
    prop_oneof![
        (any_address(), any_tail()).prop_map(|(address, tail)| Body::Seek { address, tail }),
        (client(), any_tail()).prop_map(|(client, tail)| Body::Claim { client, tail }),
        (client(), any_tail()).prop_map(|(client, tail)| Body::Ack { client, tail }),
        (option::of(plat), client(), vec(any_address(), 0..50), any_tail())
            .prop_map(|(plat, client, addresses, tail)| Body::Info { plat, client, addresses, tail }),
        (any::<u8>(), any::<u32>(), vec(any::<u8>(), 0..1500))
            .prop_map(|(hops, sequence, packet)| Body::Relay { hops, sequence, packet }),
    ]
}

fn any_packet() -> impl Strategy<Value = Packet> {
    (1..=255u8, any::<u8>(), any::<u32>(), any_address(), any_body()).prop_map(
        |(ttl, capabilities, nonce, sender, body)| Packet {
            ttl,
            capabilities: Capabilities(capabilities),
            nonce,
            sender,
            body,
        },
    )
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_again(packet in any_packet()) {
        prop_assert_eq!(parse(&emit(&packet)), Ok(packet));
    }

    #[test]
    fn any_bytes_are_parsed_without_panic_and_in_bounds(bytes in vec(any::<u8>(), 0..600)) {
        check_total(&bytes);
    }

    #[test]
    fn mutated_packets_are_parsed_without_panic_and_in_bounds(
        packet in any_packet(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = emit(&packet);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check_total(&bytes);
        check_total(&bytes[..end.index(bytes.len())]);
    }
}

/// What is parsed is bounded by the datagram, and is in the normal form that emitting and parsing keep.
fn check_total(bytes: &[u8]) {
    let Ok(mut packet) = parse(bytes) else { return };
    if let Body::Info { addresses, .. } = &packet.body {
        assert!(addresses.len() * 16 <= bytes.len());
    }
    match &mut packet.body {
        Body::Seek { tail, .. }
        | Body::Claim { tail, .. }
        | Body::Info { tail, .. }
        | Body::Ack { tail, .. } => {
            tail.broken = false;
        }
        Body::Relay { .. } => {}
    }
    assert_eq!(parse(&emit(&packet)), Ok(packet));
}
