use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::codec::Writer;

const CLIENT: Mac = Mac([2, 0, 0x5e, 0x10, 0, 1]);
const NODE: Mac = Mac([2, 0, 0x5e, 0x20, 0, 1]);

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn uses(text: &str) -> FrameContent {
    FrameContent::Uses(text.parse().unwrap())
}

fn from_client(contents: Vec<FrameContent>) -> Result<Frame, FrameError> {
    Ok(Frame { source: CLIENT, contents })
}

/// An ICMPv6 message as a client sends it; every rule can be broken by one field.
struct Sent<'a> {
    source: &'a str,
    destination: &'a str,
    hop_limit: u8,
    /// What is put between the header and the message: next header value and bytes.
    extension: Option<(u8, &'a [u8])>,
    message: Vec<u8>,
}

impl Sent<'_> {
    fn frame(&self) -> Vec<u8> {
        let (source, destination) = (v6(self.source), v6(self.destination));
        let mut writer = Writer::default();
        writer.bytes(&self.message);
        let message = build::checksummed(writer, source, destination);
        let (next, mut payload) = match self.extension {
            Some((next, bytes)) => (next, bytes.to_vec()),
            None => (58, vec![]),
        };
        payload.extend(message);
        let next = pnet_packet::ip::IpNextHeaderProtocol(next);
        let packet = build::ipv6(source, destination, self.hop_limit, next, &payload);
        build::ethernet(CLIENT, NODE, EtherTypes::Ipv6, &packet)
    }

    fn parsed(&self) -> Result<Frame, FrameError> {
        parse(&self.frame())
    }
}

/// Type, code, checksum and flags, target, options.
fn ndp_message(kind: u8, flags: u32, target: &str, options: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0], &flags.to_be_bytes()[..], &v6(target).octets(), options].concat()
}

const SOURCE_LINK_LAYER: &[u8] = &[1, 1, 2, 0, 0x5e, 0x10, 0, 1];

fn solicitation() -> Sent<'static> {
    Sent {
        source: "fd00::1",
        destination: "ff02::1:ff00:2",
        hop_limit: 255,
        extension: None,
        message: ndp_message(135, 0, "fd00::2", SOURCE_LINK_LAYER),
    }
}

fn detection() -> Sent<'static> {
    Sent { source: "::", message: ndp_message(135, 0, "fd00::2", &[]), ..solicitation() }
}

fn advertisement() -> Sent<'static> {
    let message = ndp_message(136, 1 << 29, "fd00::1", &[2, 1, 2, 0, 0x5e, 0x10, 0, 1]);
    Sent { source: "fe80::1", destination: "ff02::1", message, ..solicitation() }
}

fn router_solicitation() -> Sent<'static> {
    let message = [&[133, 0, 0, 0, 0, 0, 0, 0], SOURCE_LINK_LAYER].concat();
    Sent { source: "fe80::1", destination: "ff02::2", message, ..solicitation() }
}

const ROUTER_ALERT: Option<(u8, &[u8])> = Some((0, &[58, 0, 5, 2, 0, 0, 1, 0]));

fn report(records: &[&[u8]]) -> Sent<'static> {
    let count = u8::try_from(records.len()).unwrap();
    let message = [&[143, 0, 0, 0, 0, 0, 0, count], &records.concat()[..]].concat();
    Sent { source: "fe80::1", destination: "ff02::16", hop_limit: 1, extension: ROUTER_ALERT, message }
}

fn record(kind: u8, group: &str, sources: u8, auxiliary: u8) -> Vec<u8> {
    let behind = usize::from(sources) * 16 + usize::from(auxiliary) * 4;
    [&[kind, auxiliary, 0, sources][..], &v6(group).octets(), &vec![0xee; behind]].concat()
}

#[test]
fn a_solicitation_tells_the_address_of_who_asks() {
    assert_eq!(solicitation().parsed(), from_client(vec![uses("fd00::1")]));
}

#[test]
fn duplicate_address_detection_tells_the_address_it_is_about() {
    let target = FrameContent::WantsToUse("fd00::2".parse().unwrap());
    assert_eq!(detection().parsed(), from_client(vec![target]));
}

#[test]
fn an_advertisement_tells_its_target_and_its_source() {
    assert_eq!(advertisement().parsed(), from_client(vec![uses("fd00::1"), uses("fe80::1")]));
    let same = Sent { source: "fd00::1", ..advertisement() };
    assert_eq!(same.parsed(), from_client(vec![uses("fd00::1")]));
}

#[test]
fn a_router_solicitation_tells_its_source_or_nothing() {
    assert_eq!(router_solicitation().parsed(), from_client(vec![uses("fe80::1")]));
    let message = vec![133, 0, 0, 0, 0, 0, 0, 0];
    let anonymous = Sent { source: "::", message, ..router_solicitation() };
    assert_eq!(anonymous.parsed(), Err(FrameError::NotOfInterest));
    let named = Sent { source: "::", ..router_solicitation() };
    assert_eq!(named.parsed(), Err(FrameError::Invalid));
}

/// RFC 4861 sections 6.1.1, 7.1.1 and 7.1.2.
#[test]
fn what_breaks_a_validity_rule_is_invalid() {
    let broken: [(&str, Sent<'_>); 12] = [
        ("a router forwarded it", Sent { hop_limit: 254, ..solicitation() }),
        ("a router forwarded it", Sent { hop_limit: 254, ..advertisement() }),
        ("a router forwarded it", Sent { hop_limit: 254, ..router_solicitation() }),
        ("option of length 0", {
            Sent { message: ndp_message(135, 0, "fd00::2", &[1, 0, 0, 0, 0, 0, 0, 0]), ..solicitation() }
        }),
        ("multicast target", Sent { message: ndp_message(135, 0, "ff02::1", &[]), ..solicitation() }),
        ("multicast target", Sent { message: ndp_message(136, 0, "ff02::1", &[]), ..advertisement() }),
        ("detection to a host", Sent { destination: "fd00::2", ..detection() }),
        ("detection to all nodes", Sent { destination: "ff02::1", ..detection() }),
        ("detection with a link-layer address", Sent { source: "::", ..solicitation() }),
        ("solicited, to all", Sent { message: ndp_message(136, 1 << 30, "fd00::1", &[]), ..advertisement() }),
        (
            "code 1",
            Sent { message: [&[135, 1][..], &solicitation().message[2..]].concat(), ..solicitation() },
        ),
        (
            "code 1",
            Sent { message: [&[136, 1][..], &advertisement().message[2..]].concat(), ..advertisement() },
        ),
    ];
    for (why, sent) in broken {
        assert_eq!(sent.parsed(), Err(FrameError::Invalid), "{why}");
    }
}

#[test]
fn options_are_skipped_by_their_length_up_to_the_longest() {
    let mut options = [&[253, 255][..], &[0; 255 * 8 - 2]].concat();
    options.extend(SOURCE_LINK_LAYER);
    let long = Sent { message: ndp_message(135, 0, "fd00::2", &options), ..solicitation() };
    assert_eq!(long.parsed(), from_client(vec![uses("fd00::1")]));
    for end in [1, 2, 32, 255 * 8 - 1, 255 * 8 + 1] {
        let message = ndp_message(135, 0, "fd00::2", &options[..end]);
        assert_eq!(Sent { message, ..solicitation() }.parsed(), Err(FrameError::Truncated), "{end}");
    }
}

#[test]
fn a_bit_turned_in_the_packet_is_seen_by_the_checksum() {
    let frame = solicitation().frame();
    for at in 14 + 8..frame.len() {
        let mut turned = frame.clone();
        turned[at] ^= 0x10;
        assert!(parse(&turned).is_err(), "byte {at}");
    }
}

#[test]
fn what_ends_early_is_truncated_and_padding_is_none_of_the_packet() {
    for sent in [solicitation(), advertisement(), report(&[&record(2, "ff02::1:ff00:1", 1, 1)])] {
        let mut frame = sent.frame();
        for end in 0..frame.len() {
            assert_eq!(parse(&frame[..end]), Err(FrameError::Truncated), "{end}");
        }
        let whole = parse(&frame);
        assert!(whole.is_ok());
        frame.extend([0; 30]);
        assert_eq!(parse(&frame), whole);
    }
}

#[test]
fn a_report_names_the_groups_that_are_listened_to() {
    let records = [
        record(2, "ff02::1:ff00:1", 0, 0), // is: everything
        record(4, "ff02::1:ff00:2", 1, 2), // from now on: everything but
        record(1, "ff02::1:ff00:3", 1, 0), // is: nothing but
        record(5, "ff02::1:ff00:4", 2, 0), // from now on also
        record(3, "ff02::1:ff00:5", 0, 0), // from now on nothing
        record(6, "ff02::1:ff00:6", 1, 0), // from now on without
        record(1, "ff02::1:ff00:7", 0, 0), // is: nothing
        record(9, "ff02::1:ff00:8", 0, 0), // unknown
        record(4, "ff02::fb", 0, 0),       // no solicited-node group
    ];
    let sent = report(&records.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let listens = FrameContent::ListensTo(vec![[0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 0, 4]]);
    assert_eq!(sent.parsed(), from_client(vec![uses("fe80::1"), listens]));
}

#[test]
fn a_report_may_come_from_nobody_yet_but_not_from_afar() {
    let join = record(4, "ff02::1:ff00:1", 0, 0);
    let listens = || vec![FrameContent::ListensTo(vec![[0, 0, 1]])];
    assert_eq!(Sent { source: "::", ..report(&[&join]) }.parsed(), from_client(listens()));
    assert_eq!(Sent { source: "fd00::1", ..report(&[&join]) }.parsed(), Err(FrameError::Invalid));
    assert_eq!(Sent { hop_limit: 2, ..report(&[&join]) }.parsed(), Err(FrameError::Invalid));

    let message = ndp_message(131, 0, "ff02::1:ff00:1", &[]);
    let version_1 = Sent { source: "::", message, ..report(&[]) };
    assert_eq!(version_1.parsed(), from_client(listens()));
}

#[test]
fn a_report_counts_so_many_groups_and_no_more() {
    let join = record(4, "ff02::1:ff00:1", 0, 0);
    let sent = report(&[&join[..]; 70]);
    let listens = FrameContent::ListensTo(vec![[0, 0, 1]; 64]);
    assert_eq!(sent.parsed(), from_client(vec![uses("fe80::1"), listens]));
}

#[test]
fn an_echo_reply_tells_its_source() {
    let reply = |code| Sent {
        hop_limit: 64,
        destination: "fe80::2",
        message: vec![129, code, 0, 0, 0, 0, 0, 0],
        ..solicitation()
    };
    assert_eq!(reply(0).parsed(), from_client(vec![uses("fd00::1")]));
    assert_eq!(reply(1).parsed(), Err(FrameError::Invalid));
}

#[test]
fn an_echo_request_of_a_node_tells_which() {
    let (node, other): (Ipv6Addr, Ipv6Addr) = ("fd00::7".parse().unwrap(), "fe80::1".parse().unwrap());
    for client in [Some(CLIENT), None] {
        let frame = parse(&echo_request(NODE, other, client, Some(node))).unwrap();
        assert_eq!(frame, Frame { source: NODE, contents: vec![FrameContent::AskedBy(node)] });
        let anonymous = echo_request(NODE, other, client, None);
        assert_eq!(parse(&anonymous), Err(FrameError::NotOfInterest));
        let nobody = echo_request(NODE, other, client, Some(Ipv6Addr::UNSPECIFIED));
        assert_eq!(parse(&nobody), Err(FrameError::NotOfInterest));
    }
}

#[test]
fn what_is_not_for_us_is_of_no_interest() {
    let echo_request = Sent { message: vec![128, 0, 0, 0, 0, 0, 0, 0], ..solicitation() };
    let advertisement_of_router = Sent { message: vec![134, 0, 0, 0, 0, 0, 0, 0], ..solicitation() };
    // RFC 6980.
    let fragment = Sent { extension: Some((44, &[58, 0, 0, 1, 0, 0, 0, 1])), ..solicitation() };
    let udp = Sent { extension: Some((60, &[17, 0, 1, 4, 0, 0, 0, 0])), ..solicitation() };
    for sent in [echo_request, advertisement_of_router, fragment, udp] {
        assert_eq!(sent.parsed(), Err(FrameError::NotOfInterest));
    }
    let mut tagged = solicitation().frame();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    assert_eq!(parse(&tagged), Err(FrameError::NotOfInterest));
    let mut ipv4 = solicitation().frame();
    ipv4[13] = 0;
    ipv4[12] = 8;
    assert_eq!(parse(&ipv4), Err(FrameError::NotOfInterest));
}

#[test]
fn who_is_no_single_station_says_nothing() {
    for source in [[0x33, 0x33, 0, 0, 0, 1], [0xff; 6], [0; 6]] {
        let mut frame = solicitation().frame();
        frame[6..12].copy_from_slice(&source);
        assert_eq!(parse(&frame), Err(FrameError::Invalid));
    }
}

#[test]
fn addresses_that_no_host_has_are_not_reported() {
    let loopback = Sent { message: ndp_message(136, 0, "::1", &[]), ..advertisement() };
    assert_eq!(loopback.parsed(), from_client(vec![uses("fe80::1")]));
    let multicast = Sent { source: "ff02::5", ..solicitation() };
    assert_eq!(multicast.parsed(), Err(FrameError::NotOfInterest));
}

fn arp_frame(operation: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = arp_request(CLIENT, sender.into(), target.into(), None);
    frame[21] = operation;
    frame
}

#[test]
fn arp_tells_the_sender_or_what_a_probe_is_about() {
    let (zero, sender, target) = ([0; 4], [10, 0, 0, 1], [10, 0, 0, 2]);
    assert_eq!(parse(&arp_frame(1, sender, target)), from_client(vec![uses("10.0.0.1")]));
    assert_eq!(parse(&arp_frame(2, sender, target)), from_client(vec![uses("10.0.0.1")]));
    let wants = FrameContent::WantsToUse("10.0.0.2".parse().unwrap());
    assert_eq!(parse(&arp_frame(1, zero, target)), from_client(vec![wants]));
    assert_eq!(parse(&arp_frame(2, zero, target)), Err(FrameError::NotOfInterest));
    assert_eq!(parse(&arp_frame(3, sender, target)), Err(FrameError::NotOfInterest));
    assert_eq!(parse(&arp_frame(1, [255; 4], target)), Err(FrameError::NotOfInterest));
}

#[test]
fn arp_of_other_sizes_or_for_another_station_is_invalid() {
    let frame = arp_frame(1, [10, 0, 0, 1], [10, 0, 0, 2]);
    // Hardware type, protocol type, both lengths, sender hardware address.
    for at in [15, 17, 18, 19, 27] {
        let mut other = frame.clone();
        other[at] ^= 8;
        assert_eq!(parse(&other), Err(FrameError::Invalid), "byte {at}");
    }
    for end in 0..frame.len() {
        assert_eq!(parse(&frame[..end]), Err(FrameError::Truncated), "{end}");
    }
}

#[test]
fn a_solicitation_is_built_as_a_host_builds_it() {
    let (source, target) = (v6("fe80::5eff:fe20:1"), v6("fd00::12:3456"));
    let asked = Frame { source: NODE, contents: vec![FrameContent::Uses(source.into())] };

    let named = neighbour_solicitation(NODE, source, target, Some(CLIENT));
    assert_eq!(named[..6], CLIENT.0);
    assert_eq!(named[38..54], v6("ff02::1:ff12:3456").octets());
    assert_eq!(parse(&named), Ok(asked.clone()));

    let flooded = neighbour_solicitation(NODE, source, target, None);
    assert_eq!(flooded[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(flooded[38..54], v6("ff02::1").octets());
    assert_eq!(parse(&flooded), Ok(asked));

    let contents = vec![FrameContent::WantsToUse(target.into())];
    for client in [None, Some(CLIENT)] {
        let detection = neighbour_solicitation(NODE, Ipv6Addr::UNSPECIFIED, target, client);
        assert_eq!(parse(&detection), Ok(Frame { source: NODE, contents: contents.clone() }));
    }
}

#[test]
fn a_query_is_built_to_the_byte() {
    let query = mld_query(NODE, v6("fe80::1"), CLIENT);
    let fixed = [0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 0, 1];
    assert_eq!((&query[..6], &query[12..22]), (&CLIENT.0[..], &fixed[..]));
    let mut expected = vec![58, 0, 5, 2, 0, 0, 1, 0, 130, 0, query[64], query[65], 0, 10, 0, 0];
    expected.extend([0; 16]);
    expected.extend([2, 125, 0, 0]);
    assert_eq!(query[54..], expected);
}

#[test]
fn an_igmp_query_is_built_to_the_byte() {
    let query = igmp_query(NODE, Ipv4Addr::new(10, 9, 0, 1), CLIENT);
    // Router alert, one tenth of a second, no group; the checksums are summed by hand.
    let expected = [
        0x46, 0xc0, 0, 36, 0, 0, 0, 0, 1, 2, 0x3a, 0x09, 10, 9, 0, 1, 224, 0, 0, 1, 0x94, 4, 0, 0, 0x11, 1,
        0xec, 0x81, 0, 0, 0, 0, 2, 125, 0, 0,
    ];
    assert_eq!((&query[..6], &query[6..12], &query[12..14]), (&CLIENT.0[..], &NODE.0[..], &[8, 0][..]));
    assert_eq!(query[14..], expected);
}

/// A report of version 2 for 224.0.0.251 from `source`, as a client sends it.
fn igmp_report(source: [u8; 4]) -> Vec<u8> {
    let mut frame = igmp_query(CLIENT, source.into(), NODE);
    frame[38..46].copy_from_slice(&[0x16, 0, 0, 0, 224, 0, 0, 251]);
    frame[16..18].copy_from_slice(&32_u16.to_be_bytes());
    frame.truncate(46);
    sealed(frame)
}

/// With its two checksums made anew.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    use pnet_packet::util::checksum;
    let header = checksum(&frame[14..38], 5).to_be_bytes();
    frame[24..26].copy_from_slice(&header);
    let message = checksum(&frame[38..], 1).to_be_bytes();
    frame[40..42].copy_from_slice(&message);
    frame
}

#[test]
fn an_igmp_report_tells_its_source() {
    let report = igmp_report([10, 9, 0, 2]);
    assert_eq!(parse(&report), from_client(vec![uses("10.9.0.2")]));
    let padded = [&report[..], &[0; 14]].concat();
    assert_eq!(parse(&padded), from_client(vec![uses("10.9.0.2")]), "padding of the frame");
    assert_eq!(parse(&igmp_report([0; 4])), Err(FrameError::NotOfInterest), "nobody yet");
    for length in 14..report.len() {
        assert_eq!(parse(&report[..length]), Err(FrameError::Truncated), "{length}");
    }
}

#[test]
fn an_igmp_report_from_afar_or_damaged_is_invalid_and_a_query_says_nothing() {
    let report = igmp_report([10, 9, 0, 2]);
    for (at, value) in [(22, 2), (20, 0x20), (14, 0x44), (14, 0x56)] {
        let mut broken = report.clone();
        broken[at] = value;
        assert_eq!(parse(&sealed(broken)), Err(FrameError::Invalid), "byte {at}");
    }
    for at in [24, 26, 40, 45] {
        let mut broken = report.clone();
        broken[at] ^= 1;
        assert_eq!(parse(&broken), Err(FrameError::Invalid), "byte {at}");
    }
    assert_eq!(parse(&igmp_query(CLIENT, [10, 9, 0, 2].into(), NODE)), Err(FrameError::NotOfInterest));
    let mut udp = report;
    udp[23] = 17;
    assert_eq!(parse(&sealed(udp)), Err(FrameError::NotOfInterest));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let address = || any::<u128>().prop_map(Ipv6Addr::from_bits);
    let mac = || any::<[u8; 6]>().prop_map(Mac);
    let v4 = || any::<u32>().prop_map(Ipv4Addr::from_bits);
    prop_oneof![
        (mac(), address(), address(), prop::option::of(mac()))
            .prop_map(|(from, source, target, client)| neighbour_solicitation(from, source, target, client)),
        (mac(), v4(), v4(), prop::option::of(mac()))
            .prop_map(|(from, source, target, client)| arp_request(from, source, target, client)),
        (mac(), address(), mac()).prop_map(|(from, source, client)| mld_query(from, source, client)),
        (mac(), address(), mac()).prop_map(|(from, source, client)| echo_request(
            from,
            source,
            Some(client),
            None
        )),
        vec((0..8u8, any::<u32>(), 0..3u8, 0..3u8), 0..20).prop_map(|records| {
            let record = |&(kind, low, sources, auxiliary)| {
                let group = Ipv6Addr::from_bits(v6("ff02::1:ff00:0").to_bits() | u128::from(low >> 8));
                record(kind, &group.to_string(), sources, auxiliary)
            };
            let records: Vec<_> = records.iter().map(record).collect();
            report(&records.iter().map(Vec::as_slice).collect::<Vec<_>>()).frame()
        }),
        vec(any::<u8>(), 0..60).prop_map(|options| {
            Sent { message: ndp_message(136, 0, "fd00::1", &options), ..advertisement() }.frame()
        }),
    ]
}

/// What the callers rely on.
fn check_total(bytes: &[u8]) {
    let Ok(Frame { source, contents }) = parse(bytes) else { return };
    assert!(source.is_unicast() && !contents.is_empty());
    for content in contents {
        match content {
            FrameContent::Uses(address) | FrameContent::WantsToUse(address) => {
                assert!(is_host_address(address));
            }
            FrameContent::AskedBy(node) => assert!(is_host_address(node.into())),
            FrameContent::ListensTo(suffixes) => assert!((1..=64).contains(&suffixes.len())),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200)) {
        check_total(&bytes);
    }

    #[test]
    fn mutated_frames_are_read_without_panic(
        frame in any_frame(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = frame;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check_total(&bytes);
        check_total(&bytes[..end.index(bytes.len())]);
    }
}
