//! Stations, as far as a kernel without radios can show: who is believed.

use std::io;

use l3roamd::engine::config::Sources;
use l3roamd::engine::input::Input;
use l3roamd::kernel::{Event, Kernel};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

use super::Test;
use super::support::*;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("nl80211_that_another_process_announces_is_not_believed", forged_family),
    ("without_nl80211_as_a_source_no_socket_is_opened_for_it", switched_off),
    ("an_overrun_of_the_socket_for_stations_is_reported_and_healed", overrun),
    ("a_dump_without_access_points_tells_no_station", dump),
];

/// The controller of generic netlink: its family and its group `notify` have the same number.
const CONTROLLER: u16 = 0x10;
/// The number that the forged family says it has.
const FORGED_FAMILY: u16 = 0x4711;

fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 4).expect("short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(family: u16, command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let body = attributes.concat();
    let length = u32::try_from(body.len() + 20).expect("short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(family.to_ne_bytes());
    // Flags, sequence number, and the port of the sender: a forger writes 0 there, too.
    bytes.extend([0; 10]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(body);
    bytes
}

/// nl80211 comes, with a group that is the controller's own.
fn family() -> Vec<u8> {
    let group =
        |name: &[u8]| attr(1, &[attr(2, &u32::from(CONTROLLER).to_ne_bytes()), attr(1, name)].concat());
    let groups = [group(b"config\0"), group(b"mlme\0")].concat();
    let (name, id) = (attr(2, b"nl80211\0"), attr(1, &FORGED_FAMILY.to_ne_bytes()));
    message(CONTROLLER, 1, &[name, id, attr(7, &groups)])
}

/// It has an access point, and that a station.
fn access_point(interface: u32) -> Vec<u8> {
    message(FORGED_FAMILY, 7, &[attr(3, &interface.to_ne_bytes()), attr(5, &3_u32.to_ne_bytes())])
}

fn station(interface: u32) -> Vec<u8> {
    message(FORGED_FAMILY, 19, &[attr(3, &interface.to_ne_bytes()), attr(6, &CLIENT.0)])
}

/// To the group; port 4711 is nobody.
fn send(datagram: &[u8]) -> io::Result<usize> {
    let group = 1 << (CONTROLLER - 1);
    Socket::new(NETLINK_GENERIC)?.send_to(datagram, &SocketAddr::new(4711, group), 0)
}

/// All that has happened until an interface came.
async fn until_later(kernel: &mut Kernel) -> Vec<Event> {
    sh("ip link add later0 type bridge");
    let mut events = Vec::new();
    loop {
        let event = kernel.next().await;
        if matches!(&event, Event::Input(Input::LinkSeen(link)) if link.name.as_str() == "later0") {
            events.extend(std::iter::from_fn(|| kernel.try_next()));
            return events;
        }
        events.push(event);
    }
}

fn told_of_stations(events: &[Event]) -> bool {
    events.iter().any(|event| {
        matches!(event, Event::Input(Input::StationAssociated { .. } | Input::StationLeft { .. }))
    })
}

fn forged_family() {
    run(async {
        let mut kernel = open().await;
        let client = dummy("client0").0;
        while kernel.try_next().is_some() {}
        for datagram in [family(), access_point(client), station(client), vec![1, 2, 3]] {
            // What the kernel says of nobody at port 4711.
            let _ = send(&datagram);
        }
        let events = until_later(&mut kernel).await;
        assert!(!told_of_stations(&events), "{events:?}");
        assert!(!events.iter().any(|event| matches!(event, Event::StateLost(_))), "{events:?}");
        assert_eq!(kernel.counters().netlink_not_from_kernel, 4);
        assert_eq!(kernel.counters().netlink_undecodable, 0);
    });
}

fn overrun() {
    run(async {
        let mut kernel = open().await;
        while kernel.try_next().is_some() {}
        // What is refused fills the buffer nevertheless.
        let large = vec![0; 16 << 10];
        for _ in 0..400 {
            let _ = send(&large);
        }
        let reason = wait_for(&mut kernel, |event| match event {
            Event::StateLost(reason) => Some(*reason),
            _ => None,
        })
        .await;
        assert_eq!(reason, "messages about stations were lost");
        assert_eq!(kernel.counters().netlink_overruns, 1);
        kernel.dump().await.expect("a dump");
        // It hears again.
        let refused = kernel.counters().netlink_not_from_kernel;
        let _ = send(&family());
        until_later(&mut kernel).await;
        assert_eq!(kernel.counters().netlink_not_from_kernel, refused + 1);
    });
}

fn switched_off() {
    run(async {
        let sockets = || {
            let table = std::fs::read_to_string("/proc/net/netlink").expect("the table of netlink sockets");
            table.lines().filter(|line| line.split_whitespace().nth(1) == Some("16")).count()
        };
        let before = sockets();
        let sources = Sources { nl80211: false, ..Sources::default() };
        let mut kernel =
            open_with(l3roamd::kernel::Settings { sources, ..settings() }).await.expect("it opens");
        assert_eq!(sockets(), before);
        kernel.dump().await.expect("a dump");
        kernel.shut_down().await;
        let kernel = open().await;
        assert_eq!(sockets(), before + 2);
        drop(kernel);
    });
}

fn dump() {
    run(async {
        let mut kernel = open().await;
        for _ in 0..2 {
            let facts = kernel.dump().await.expect("a dump");
            assert!(!facts.iter().any(|fact| matches!(fact, Input::StationAssociated { .. })), "{facts:?}");
        }
        assert_eq!(kernel.counters().netlink_undecodable, 0);
    });
}
