//! What is read of bytes, and what follows from it.

use proptest::prelude::*;

use super::message::{Message, attribute, messages, read};
use super::*;

const FAMILY: u16 = 0x1c;
const ACCESS_POINT: IfIndex = IfIndex(7);
const VLAN: IfIndex = IfIndex(8);
const MESH: IfIndex = IfIndex(9);
const STATION: Mac = Mac([2, 0, 0, 0, 0xc1, 1]);
const OWN: Mac = Mac([2, 0, 0, 0, 0, 7]);

fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u16::try_from(payload.len() + 4).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let body = attributes.concat();
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(body.len() + 20).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(body);
    bytes
}

fn index(index: IfIndex) -> Vec<u8> {
    attr(attribute::INTERFACE_INDEX, &index.0.to_ne_bytes())
}

fn mac(mac: Mac) -> Vec<u8> {
    attr(attribute::MAC, &mac.0)
}

/// As the kernel sends it: with generation (46) and nested statistics (21).
fn station(command: u8, interface: IfIndex) -> Vec<u8> {
    let statistics = attr(21 | 1 << 15, &attr(1, &8u32.to_ne_bytes()));
    message(FAMILY, command, &[index(interface), mac(STATION), attr(46, &[0; 4]), statistics])
}

fn interface(of: IfIndex, kind: u32, own: Mac) -> Vec<u8> {
    let kind = attr(attribute::INTERFACE_TYPE, &kind.to_ne_bytes());
    message(
        FAMILY,
        command::NEW_INTERFACE,
        &[attr(1, &[0; 4]), index(of), attr(4, b"wlan0\0"), mac(own), kind],
    )
}

fn group(number: u16, name: &[u8], id: u32) -> Vec<u8> {
    attr(number, &[attr(2, &id.to_ne_bytes()), attr(1, name)].concat())
}

fn family(command: u8, name: &[u8]) -> Vec<u8> {
    let groups = [group(1, b"config\0", 5), group(2, b"scan\0", 6), group(4, b"mlme\0", 40)].concat();
    let (name, id) = (attr(2, name), attr(1, &FAMILY.to_ne_bytes()));
    message(CONTROLLER, command, &[name, id, attr(3, &[1, 0, 0, 0]), attr(7, &groups)])
}

/// What a datagram of one message tells.
fn told(datagram: &[u8]) -> Result<Option<Told>, Malformed> {
    let mut all = messages(datagram);
    let first = all.next().unwrap().and_then(|message| read(&message, Some(FAMILY)));
    assert_eq!(all.next(), None);
    first
}

/// What follows from datagrams, one after the other.
fn heard(seen: &mut Seen, datagrams: &[Vec<u8>]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for datagram in datagrams {
        seen.take_in(told(datagram).unwrap().unwrap(), &mut |input| inputs.push(input));
    }
    inputs
}

/// What is known of an access point, its VLAN and a mesh point.
fn radio() -> Seen {
    let mut seen = Seen::default();
    let other = Mac([2, 0, 0, 0, 0, 9]);
    heard(&mut seen, &[interface(ACCESS_POINT, 3, OWN), interface(VLAN, 4, OWN), interface(MESH, 7, other)]);
    seen
}

fn came(interface: IfIndex) -> Input {
    Input::StationAssociated { interface, client: STATION }
}

fn left(interface: IfIndex) -> Input {
    Input::StationLeft { interface, client: STATION }
}

#[test]
fn stations_that_come_and_go_are_read() {
    let new = told(&station(command::NEW_STATION, ACCESS_POINT));
    assert_eq!(new, Ok(Some(Told::Station(ACCESS_POINT, STATION))));
    let gone = told(&station(command::DELETE_STATION, ACCESS_POINT));
    assert_eq!(gone, Ok(Some(Told::StationGone(ACCESS_POINT, STATION))));
    assert_eq!(told(&station(99, ACCESS_POINT)), Ok(None), "another command");
    let all = [station(command::NEW_STATION, ACCESS_POINT), station(command::DELETE_STATION, MESH)].concat();
    assert_eq!(messages(&all).filter(Result::is_ok).count(), 2);
}

#[test]
fn the_family_brings_its_number_and_its_groups_beyond_31_too() {
    let new = told(&family(controller::NEW_FAMILY, b"nl80211\0"));
    assert_eq!(new, Ok(Some(Told::Family(Family { id: FAMILY, groups: vec![5, 40] }))));
    assert_eq!(told(&family(controller::DELETE_FAMILY, b"nl80211\0")), Ok(Some(Told::FamilyGone)));
    assert_eq!(told(&family(controller::NEW_FAMILY, b"nl80211x\0")), Ok(None));
    assert_eq!(told(&family(controller::NEW_FAMILY, b"")), Ok(None));
    assert_eq!(told(&family(7, b"nl80211\0")), Ok(None), "a group that is announced by itself");
    let name = attr(2, b"nl80211\0");
    let id = attr(1, &FAMILY.to_ne_bytes());
    for bad in
        [vec![], vec![id.clone()], vec![name.clone(), id, attr(7, &group(1, b"mlme\0", 3))], vec![name]]
    {
        assert_eq!(told(&message(CONTROLLER, controller::NEW_FAMILY, &bad)), Err(Malformed), "{bad:?}");
    }
}

#[test]
fn attributes_that_are_missing_short_or_long_make_a_message_unreadable() {
    let short = attr(attribute::MAC, &[2, 0, 0]);
    let long = attr(attribute::MAC, &[2; 8]);
    let byte = attr(attribute::INTERFACE_INDEX, &[7]);
    for bad in [
        vec![],
        vec![index(ACCESS_POINT)],
        vec![mac(STATION)],
        vec![index(ACCESS_POINT), short],
        vec![index(ACCESS_POINT), long],
        vec![byte.clone(), mac(STATION)],
        vec![index(IfIndex(0)), mac(STATION)],
        vec![vec![2, 0, 3, 0], index(ACCESS_POINT), mac(STATION)],
    ] {
        assert_eq!(told(&message(FAMILY, command::NEW_STATION, &bad)), Err(Malformed), "{bad:?}");
    }
    // What is not needed may be anything.
    let odd = [attr(1, &[1]), index(ACCESS_POINT), attr(99, &[]), mac(STATION), vec![1, 0, 0, 0]];
    let read = told(&message(FAMILY, command::NEW_STATION, &odd));
    assert_eq!(read, Ok(Some(Told::Station(ACCESS_POINT, STATION))));
    // An interface without number is a wireless device that is no network interface.
    assert_eq!(told(&message(FAMILY, command::NEW_INTERFACE, &[])), Ok(None));
    assert_eq!(told(&message(FAMILY, command::DELETE_INTERFACE, &[byte])), Err(Malformed));
    assert_eq!(told(&message(FAMILY, command::NEW_INTERFACE, &[index(MESH)])), Err(Malformed));
}

#[test]
fn a_message_cut_off_anywhere_tells_nothing_wrong() {
    for whole in [
        station(command::NEW_STATION, ACCESS_POINT),
        interface(ACCESS_POINT, 3, OWN),
        family(controller::NEW_FAMILY, b"nl80211\0"),
    ] {
        let right = told(&whole).unwrap();
        for length in 1..whole.len() {
            assert_eq!(told(&whole[..length]), Err(Malformed));
            // Cut off inside, with a header that says so.
            let mut cut = whole[..length.max(16)].to_vec();
            cut[..4].copy_from_slice(&u32::try_from(length.max(16)).unwrap().to_ne_bytes());
            match told(&cut) {
                Err(Malformed) | Ok(None) => {}
                read => assert_eq!(read, Ok(right.clone()), "{length}"),
            }
        }
    }
}

#[test]
fn only_stations_of_access_points_are_told() {
    let mut seen = radio();
    let new = command::NEW_STATION;
    assert_eq!(heard(&mut seen, &[station(new, ACCESS_POINT)]), [came(ACCESS_POINT)]);
    assert_eq!(heard(&mut seen, &[station(new, MESH)]), [], "a mesh peer");
    assert_eq!(heard(&mut seen, &[station(new, IfIndex(99))]), [], "an interface that nobody knows");
    for kind in [0, 1, 2, 5, 6, 8, 9, 10, 12, u32::MAX] {
        assert_eq!(heard(&mut seen, &[interface(MESH, kind, OWN), station(new, MESH)]), []);
    }
    // A station interface that becomes an access point.
    assert_eq!(heard(&mut seen, &[interface(MESH, 3, OWN), station(new, MESH)]), [came(MESH)]);
}

#[test]
fn a_station_that_leaves_the_vlan_of_an_access_point_leaves_the_access_point() {
    let mut seen = radio();
    heard(&mut seen, &[station(command::NEW_STATION, ACCESS_POINT)]);
    let inputs = heard(&mut seen, &[station(command::DELETE_STATION, VLAN)]);
    assert_eq!(inputs, [left(ACCESS_POINT), left(VLAN)]);
    assert!(seen.stations.is_empty());
    heard(&mut seen, &[station(command::NEW_STATION, VLAN)]);
    let inputs = heard(&mut seen, &[station(command::DELETE_STATION, ACCESS_POINT)]);
    assert_eq!(inputs, [left(ACCESS_POINT)], "but not the other way round");
}

#[test]
fn stations_leave_with_their_interface_and_with_the_family() {
    let mut seen = radio();
    let new = [station(command::NEW_STATION, ACCESS_POINT), station(command::NEW_STATION, VLAN)];
    heard(&mut seen, &new);
    let gone = message(FAMILY, command::DELETE_INTERFACE, &[index(VLAN)]);
    assert_eq!(heard(&mut seen, &[gone]), [left(VLAN)]);
    assert_eq!(heard(&mut seen, &[family(controller::DELETE_FAMILY, b"nl80211\0")]), [left(ACCESS_POINT)]);
    assert_eq!(heard(&mut seen, &new), [], "the types of interfaces are forgotten");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut seen = Seen::default();
    for n in 1..=2000 {
        seen.take_in(told(&interface(IfIndex(n), 3, OWN)).unwrap().unwrap(), &mut |_| ());
        assert!(seen.interfaces.len() <= MAX_INTERFACES);
    }
    seen.take_in(told(&interface(ACCESS_POINT, 3, OWN)).unwrap().unwrap(), &mut |_| ());
    let mut count = 0;
    for n in 0..=u32::try_from(MAX_STATIONS).unwrap() {
        let [_, a, b, c] = n.to_be_bytes();
        seen.take_in(Told::Station(ACCESS_POINT, Mac([2, 0, 0, a, b, c])), &mut |_| count += 1);
    }
    assert_eq!(seen.stations.len(), MAX_STATIONS);
    assert_eq!(count, MAX_STATIONS + 1, "all are told");
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        for message in messages(&bytes).flatten() {
            let _ = read(&message, Some(message.kind));
            let _ = read(&message, None);
        }
    }

    #[test]
    fn no_payload_makes_reading_panic(
        command in 0u8..24,
        controller in any::<bool>(),
        start in proptest::sample::select(vec![
            vec![], attr(3, &[7, 0, 0, 0]), attr(2, b"nl80211\0"), attr(7, &[8, 0, 1, 0, 8, 0, 2, 0]),
        ]),
        rest in proptest::collection::vec(any::<u8>(), 0..128),
    ) {
        let payload = [vec![command, 1, 0, 0], start, rest].concat();
        let kind = if controller { CONTROLLER } else { FAMILY };
        let _ = read(&Message { kind, flags: 0, sequence: 0, payload: &payload }, Some(FAMILY));
    }

    #[test]
    fn one_wrong_byte_makes_reading_no_worse(at in 0usize..200, byte in any::<u8>()) {
        for mut bytes in [
            station(command::NEW_STATION, ACCESS_POINT),
            interface(ACCESS_POINT, 3, OWN),
            family(controller::NEW_FAMILY, b"nl80211\0"),
        ] {
            let length = bytes.len();
            bytes[at % length] = byte;
            for message in messages(&bytes).flatten() {
                let _ = read(&message, Some(FAMILY));
            }
        }
    }
}
