//! The wire format held against bytes: those of the C daemon and of Linux as captured, and our own as specified.
//!
//! The bytes are in `tests/vectors/*.hex`: `# comment`, or `name: hex` with blanks between the parts. What they mean is here.
//! A vector without an expectation, or the other way round, fails.

#![allow(clippy::unwrap_used, reason = "a vector that cannot be read is a failed test")]

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use l3roamd::net::Mac;
use l3roamd::wire::frame::{self, Frame, FrameContent};
use l3roamd::wire::intercom::{self, Body, Capabilities, Flags, Packet, ParseError, Plat, Tail};

const A: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xa);
const B: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xb);
const CLIENT: Mac = Mac([2, 0, 0x5e, 0x10, 0, 1]);
const NODE: Mac = Mac([2, 0, 0x5e, 0x20, 0, 1]);

/// The vectors of a file by name.
fn read(text: &'static str) -> BTreeMap<&'static str, Vec<u8>> {
    let mut vectors = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, hex) = line.split_once(": ").unwrap_or_else(|| panic!("no name: {line}"));
        let digits: Vec<char> = hex.chars().filter(|c| *c != ' ').collect();
        assert!(digits.len() % 2 == 0, "half a byte: {name}");
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
        let previous = vectors.insert(name, digits.chunks(2).map(byte).collect());
        assert!(previous.is_none(), "twice: {name}");
    }
    vectors
}

/// Pairs every vector with what is expected of it.
fn each<T>(text: &'static str, expected: Vec<(&'static str, T)>, check: impl Fn(&str, &[u8], T)) {
    let mut vectors = read(text);
    for (name, expected) in expected {
        let bytes = vectors.remove(name).unwrap_or_else(|| panic!("no such vector: {name}"));
        check(name, &bytes, expected);
    }
    assert!(vectors.is_empty(), "nothing is expected of {:?}", vectors.into_keys());
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The first `count` addresses of the client.
fn addresses(count: u16) -> Vec<Ipv6Addr> {
    (1..=count).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, n)).collect()
}

const NO_TAIL: Tail = Tail { age_ms: None, sequence: None, hops: None, flags: Flags(0), broken: false };

fn claim(tail: Tail) -> Body {
    Body::Claim { client: CLIENT, tail }
}

fn info(count: u16, tail: Tail) -> Body {
    Body::Info { plat: None, client: CLIENT, addresses: addresses(count), tail }
}

/// A captured or canonical packet: it means this, and this is written so.
fn both_directions(name: &str, bytes: &[u8], packet: Packet) {
    assert_eq!(intercom::parse(bytes).as_ref(), Ok(&packet), "{name}");
    assert_eq!(intercom::emit(&packet), bytes, "{name}");
}

#[test]
fn packets_of_the_c_daemon_are_read_and_written_to_the_byte() {
    let of = |sender, ttl, nonce, body| Packet { ttl, capabilities: Capabilities(0), nonce, sender, body };
    let seek = || Body::Seek { address: v6("2001:db8:c::99"), tail: NO_TAIL };
    let prefix = Plat { lease: 0, prefix: v6("64:ff9b::") };
    let with_prefix =
        Body::Info { plat: Some(prefix), client: CLIENT, addresses: addresses(2), tail: NO_TAIL };
    let expected = vec![
        ("seek", of(A, 255, 0x5603, seek())),
        ("seek_forwarded", of(A, 254, 0x5603, seek())),
        ("claim", of(B, 1, 0, claim(NO_TAIL))),
        ("info_0", of(A, 1, 0, info(0, NO_TAIL))),
        ("info_1", of(A, 1, 0, info(1, NO_TAIL))),
        ("info_4", of(A, 1, 0, info(4, NO_TAIL))),
        ("info_plat", of(A, 1, 0, with_prefix)),
        ("ack", of(B, 1, 0, Body::Ack { client: CLIENT, tail: NO_TAIL })),
    ];
    each(include_str!("vectors/c-daemon.hex"), expected, both_directions);
}

#[test]
fn forwarding_does_what_the_c_daemon_does_and_keeps_the_identity() {
    let vectors = read(include_str!("vectors/c-daemon.hex"));
    let mut packet = vectors["seek"].clone();
    assert!(intercom::decrement_ttl(&mut packet));
    assert_eq!(packet, vectors["seek_forwarded"]);
    assert_eq!(intercom::flood_identity(&packet), intercom::flood_identity(&vectors["seek"]));
    assert!(!intercom::decrement_ttl(&mut vectors["claim"].clone()));
}

#[test]
fn extensions_are_read_and_written_as_specified() {
    let tail = Tail { age_ms: Some(1500), sequence: Some(7), hops: Some(1), flags: Flags(3), broken: false };
    let from_b = |capabilities, body| Packet {
        ttl: 1,
        capabilities: Capabilities(capabilities),
        nonce: 0xabcd_ef01,
        sender: B,
        body,
    };
    let from_a = |body| Packet { nonce: 1, sender: A, ..from_b(3, body) };
    let seek = |tail| Body::Seek { address: v6("2001:db8:c::99"), tail };
    let later = Tail { hops: Some(4), flags: Flags(0xff), ..NO_TAIL };
    let two = vec![v6("2001:db8:c::1"), v6("2001:db8:c::3")];
    let two = Body::Info { plat: None, client: CLIENT, addresses: two, tail: NO_TAIL };
    let relay = Body::Relay { hops: 2, sequence: 9, packet: vec![0x60, 0, 0, 0] };
    let (canonical, read_only) = (true, false);
    let expected = vec![
        ("claim_tail", (from_b(3, claim(tail)), canonical)),
        ("ack_tail", (from_b(3, Body::Ack { client: CLIENT, tail }), canonical)),
        ("seek_tail", (from_b(3, seek(tail)), canonical)),
        ("info_tail", (from_b(3, info(1, tail)), canonical)),
        ("refusal", (from_a(info(0, Tail { flags: Flags::REFUSED, ..NO_TAIL })), canonical)),
        ("info_16", (from_a(info(16, NO_TAIL)), canonical)),
        ("relay", (from_a(relay), canonical)),
        ("claim_later", (from_b(0xff, claim(later)), read_only)),
        ("seek_reserved", (from_b(1, seek(NO_TAIL)), read_only)),
        ("claim_appended", (from_b(0, claim(NO_TAIL)), read_only)),
        ("claim_unknown_tlvs", (from_b(0, claim(NO_TAIL)), read_only)),
        ("claim_twice", (from_b(0, claim(NO_TAIL)), read_only)),
        ("info_other_client", (from_b(0, two), read_only)),
        ("info_without_plat", (from_b(0, info(1, NO_TAIL)), read_only)),
    ];
    each(include_str!("vectors/extensions.hex"), expected, |name, bytes, (packet, canonical)| {
        assert_eq!(intercom::parse(bytes).as_ref(), Ok(&packet), "{name}");
        assert_eq!(intercom::emit(&packet) == bytes, canonical, "{name}");
    });
}

#[test]
fn broken_packets_are_refused_for_the_right_reason_and_broken_tails_are_ignored() {
    let bad = |tlv| Err(ParseError::BadLength { tlv });
    let broken_tail = || {
        let body = claim(Tail { broken: true, ..NO_TAIL });
        Ok(Packet { ttl: 1, capabilities: Capabilities::TAILS, nonce: 0xabcd_ef01, sender: B, body })
    };
    let expected = vec![
        ("version_1", Err(ParseError::UnsupportedVersion(1))),
        ("ttl_0", Err(ParseError::TtlZero)),
        ("type_5", Err(ParseError::UnknownType(5))),
        ("type_255", Err(ParseError::UnknownType(255))),
        ("only_header", Err(ParseError::Missing)),
        ("claim_length_0", bad(0)),
        ("claim_length_1", bad(0)),
        ("claim_unknown_length_0", bad(0x7f)),
        ("claim_short_mac", bad(0)),
        ("claim_beyond", Err(ParseError::Truncated)),
        ("claim_only_unknown", Err(ParseError::Missing)),
        ("seek_short_address", bad(0)),
        ("info_short_plat", bad(0)),
        ("info_basic_not_whole", bad(1)),
        ("info_only_plat", Err(ParseError::Missing)),
        ("relay_without_sequence", Err(ParseError::Truncated)),
        ("tail_no_version", broken_tail()),
        ("tail_version_2", broken_tail()),
        ("tail_length_0", broken_tail()),
        ("tail_beyond", broken_tail()),
        ("tail_short_age", broken_tail()),
    ];
    each(include_str!("vectors/broken.hex"), expected, |name, bytes, expected| {
        assert_eq!(intercom::parse(bytes), expected, "{name}");
    });
}

#[test]
fn every_truncation_of_a_packet_is_refused() {
    let files = [include_str!("vectors/c-daemon.hex"), include_str!("vectors/extensions.hex")];
    for (name, bytes) in files.into_iter().flat_map(read) {
        let whole = intercom::parse(&bytes).unwrap();
        for end in 0..bytes.len() {
            match intercom::parse(&bytes[..end]) {
                Err(ParseError::Truncated) => {}
                // Between two TLVs: the meaning has not come yet, or what follows does not change it.
                Err(ParseError::Missing) => assert!(
                    end == 24 || matches!(whole.body, Body::Info { .. }) || name.contains("unknown"),
                    "{name} {end}"
                ),
                Ok(packet) => {
                    let more_tlvs =
                        ["info_16", "info_other_client", "claim_twice", "claim_unknown_tlvs", "relay"];
                    assert!(more_tlvs.contains(&name) && packet.nonce == whole.nonce, "{name} {end}");
                }
                other => panic!("{name} {end}: {other:?}"),
            }
        }
    }
}

#[test]
fn large_packets_are_read_in_bounds() {
    let mut vectors = read(include_str!("vectors/c-daemon.hex"));
    let info_1 = vectors.remove("info_1").unwrap();
    let basic = &info_1[44..];
    let count = |bytes: &[u8]| match intercom::parse(bytes) {
        Ok(Packet { body: Body::Info { addresses, .. }, .. }) => Ok(addresses.len()),
        Ok(_) => panic!("no INFO"),
        Err(error) => Err(error),
    };
    assert_eq!(count(&[&info_1[..], &basic.repeat(59)].concat()), Ok(60));
    let most = [&info_1[..], &basic.repeat((9000 - info_1.len()) / basic.len())].concat();
    assert_eq!(count(&most), Ok(1 + (9000 - info_1.len()) / basic.len()));
    // 9000 bytes of unknown TLVs of the least length, with and without the one that counts.
    let unknown = [0x7f, 2].repeat(4478);
    assert_eq!(count(&[&info_1[..24], &unknown, basic].concat()), Ok(1));
    assert_eq!(count(&[&info_1[..24], &unknown].concat()), Err(ParseError::Missing));
    // And of zeros, which are TLVs of length 0.
    assert_eq!(count(&[&info_1[..], &[0; 8000]].concat()), Err(ParseError::BadLength { tlv: 0 }));
}

#[test]
fn frames_of_linux_are_read_and_those_it_answered_are_written_to_the_byte() {
    let uses = |text: &str| FrameContent::Uses(text.parse().unwrap());
    let listens = || FrameContent::ListensTo(vec![[0, 0, 2], [0x10, 0, 1]]);
    let link_local = "fe80::5eff:fe10:1";
    let node = v6("fe80::5eff:fe20:1");
    let heard = |contents| Expected::Heard(contents);
    let target = v6("fd00:c::2");
    let none = Ipv6Addr::UNSPECIFIED;
    let solicit =
        |source, client| Expected::Built(frame::neighbour_solicitation(NODE, source, target, client));
    let arp = |source: &str, client| {
        Expected::Built(frame::arp_request(
            NODE,
            source.parse().unwrap(),
            "10.9.0.2".parse().unwrap(),
            client,
        ))
    };
    let expected = vec![
        ("report_before_address", heard(vec![listens()])),
        ("detection", heard(vec![FrameContent::WantsToUse(target.into())])),
        ("report_at_start", heard(vec![uses(link_local), listens()])),
        ("router_solicitation", heard(vec![uses(link_local)])),
        ("report_asked_for", heard(vec![uses(link_local), listens()])),
        ("advertisement_asked_for", heard(vec![uses("fd00:c::2")])),
        ("advertisement_to_all", heard(vec![uses("fd00:c::2")])),
        ("arp_reply", heard(vec![uses("10.9.0.2")])),
        ("echo_reply", heard(vec![uses(link_local)])),
        ("solicitation", heard(vec![uses("fd00:c::2")])),
        ("ask_ns_unicast", solicit(node, Some(CLIENT))),
        ("ask_ns_all", solicit(node, None)),
        ("ask_dad_unicast", solicit(none, Some(CLIENT))),
        ("ask_dad_all", solicit(none, None)),
        ("ask_arp_unicast", arp("10.9.0.1", Some(CLIENT))),
        ("ask_arp_all", arp("10.9.0.1", None)),
        ("ask_arp_probe", arp("0.0.0.0", Some(CLIENT))),
        ("ask_mld", Expected::Built(frame::mld_query(NODE, node, CLIENT))),
        ("ask_echo", Expected::Built(frame::echo_request(NODE, node, Some(CLIENT), None))),
        ("ask_echo_global", Expected::Built(frame::echo_request(NODE, v6("fd00:c::1"), Some(CLIENT), None))),
    ];
    each(include_str!("vectors/frames.hex"), expected, |name, bytes, expected| match expected {
        Expected::Heard(contents) => {
            assert_eq!(frame::parse(bytes), Ok(Frame { source: CLIENT, contents }), "{name}");
        }
        Expected::Built(built) => assert_eq!(built, bytes, "{name}"),
    });
}

/// What is expected of a frame.
enum Expected {
    /// It says this.
    Heard(Vec<FrameContent>),
    /// This is it.
    Built(Vec<u8>),
}
