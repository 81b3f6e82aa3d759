//! Routes, neighbours, addresses, links, forwarding databases.

use l3roamd::engine::Action;
use l3roamd::engine::input::{FailureReason, Input, NeighbourState, RouteLookup};
use l3roamd::engine::output::{DesiredState, HostRoute, RouteKind};
use l3roamd::kernel::{Event, Kernel, Repairs};
use l3roamd::net::IfIndex;

use super::Test;
use super::support::*;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("a_host_route_is_installed_and_uninstalled_any_number_of_times", idempotent_routes),
    ("a_foreign_route_is_never_replaced_or_removed", foreign_routes),
    ("a_route_of_ours_to_another_interface_is_replaced", replaced_routes),
    ("a_neighbour_entry_survives_and_is_ours", neighbours),
    ("a_node_client_address_is_added_and_removed_any_number_of_times", node_client_addresses),
    ("a_client_prefix_is_routed_to_the_tun", prefix_routes),
    ("a_look_up_tells_host_routes_from_the_rest", look_ups),
    ("what_an_earlier_run_left_is_found", adoption),
    ("a_comparison_repairs_a_flush_and_removes_surplus", reconciliation),
    ("links_and_their_relations_are_told", links),
    ("a_host_route_of_anybody_is_told", host_route_events),
    ("a_bridge_learns_a_client", forwarding_database),
    ("an_overrun_is_reported", overrun),
    ("an_interface_whose_end_was_lost_is_told_by_the_dump", lost_end),
    ("messages_of_other_processes_are_not_believed", forged),
    ("a_vanished_interface_fails_the_action_and_nothing_else", vanished_interface),
];

async fn ok(kernel: &mut Kernel, action: Action) {
    let answer = kernel.apply(action).await;
    let acknowledged = matches!(answer, None | Some(Input::RouteInstalled(_) | Input::NeighbourInstalled(_)));
    assert!(acknowledged, "{answer:?}");
}

async fn failure(kernel: &mut Kernel, action: Action) -> FailureReason {
    match kernel.apply(action).await {
        Some(Input::ActionFailed { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn idempotent_routes() {
    run(async {
        let client = dummy("client0");
        let mut kernel = open().await;
        for (address, table) in
            [("2001:db8::1", 254), ("10.0.0.1", 254), ("2001:db8::2", 1000), ("10.0.0.2", 10)]
        {
            let family = if address.contains(':') { "-6" } else { "-4" };
            let show = || sh(&format!("ip {family} route show table {table} proto 158"));
            for _ in 0..2 {
                ok(&mut kernel, Action::InstallRoute(host(address, client, table))).await;
                let said = show();
                assert_eq!(said.lines().count(), 1, "{said}");
                assert!(
                    said.contains(address) && said.contains("dev client0") && said.contains("metric 16"),
                    "{said}"
                );
                assert!(address.contains(':') || said.contains("scope link"), "{said}");
            }
            for _ in 0..2 {
                ok(&mut kernel, Action::UninstallRoute(host(address, client, table))).await;
                assert_eq!(show(), "");
            }
        }
    });
}

fn foreign_routes() {
    run(async {
        let client = dummy("client0");
        dummy("other0");
        let mut kernel = open().await;
        for address in ["2001:db8::1", "10.0.0.1"] {
            let family = if address.contains(':') { "-6" } else { "-4" };
            let route = host(address, client, 254);
            // At another metric it stays beside ours.
            sh(&format!("ip {family} route add {address} dev other0 proto bird metric 32"));
            ok(&mut kernel, Action::InstallRoute(route)).await;
            ok(&mut kernel, Action::UninstallRoute(route)).await;
            assert_eq!(sh(&format!("ip {family} route show {address} proto bird")).lines().count(), 1);
            // At our metric nothing of ours can stand, whatever interface it points at.
            for interface in ["other0", "client0"] {
                sh(&format!("ip {family} route add {address} dev {interface} proto bird metric 16"));
                let reason = failure(&mut kernel, Action::InstallRoute(route)).await;
                assert_eq!(reason, FailureReason::Occupied);
                ok(&mut kernel, Action::UninstallRoute(route)).await;
                assert_eq!(sh(&format!("ip {family} route show {address} proto bird")).lines().count(), 2);
                sh(&format!("ip {family} route del {address} dev {interface} proto bird metric 16"));
            }
        }
        // `ip route prepend` puts one before ours: it must not be hit when ours is to be replaced.
        let other = index_of("other0");
        ok(&mut kernel, Action::InstallRoute(host("10.0.0.3", other, 254))).await;
        sh("ip route prepend 10.0.0.3 dev client0 proto bird metric 16");
        let route = host("10.0.0.3", client, 254);
        assert_eq!(failure(&mut kernel, Action::InstallRoute(route)).await, FailureReason::Occupied);
        assert_eq!(sh("ip route show 10.0.0.3 proto bird").lines().count(), 1);
    });
}

fn replaced_routes() {
    run(async {
        let (first, second) = (dummy("client0"), dummy("client1"));
        let mut kernel = open().await;
        for address in ["2001:db8::1", "10.0.0.1"] {
            let family = if address.contains(':') { "-6" } else { "-4" };
            let show = || sh(&format!("ip {family} route show {address} proto 158"));
            ok(&mut kernel, Action::InstallRoute(host(address, first, 254))).await;
            ok(&mut kernel, Action::InstallRoute(host(address, second, 254))).await;
            let said = show();
            assert!(said.lines().count() == 1 && said.contains("dev client1"), "{said}");
            // A late removal of the old one leaves the new one alone.
            ok(&mut kernel, Action::UninstallRoute(host(address, first, 254))).await;
            assert_eq!(show(), said);
            // The same of the other kind, and back.
            let drained = HostRoute { kind: RouteKind::Drained, ..host(address, first, 254) };
            let all = || sh(&format!("ip {family} route show {address}"));
            for _ in 0..2 {
                ok(&mut kernel, Action::InstallRoute(drained)).await;
                let said = all();
                assert!(said.lines().count() == 1 && said.contains("dev l3roam0 proto 159"), "{said}");
            }
            ok(&mut kernel, Action::UninstallRoute(host(address, second, 254))).await;
            assert!(all().contains("proto 159"));
            ok(&mut kernel, Action::InstallRoute(host(address, first, 254))).await;
            let said = all();
            assert!(said.lines().count() == 1 && said.contains("dev client0 proto 158"), "{said}");
            ok(&mut kernel, Action::UninstallRoute(drained)).await;
            assert_eq!(all(), said);
        }
    });
}

fn neighbours() {
    run(async {
        let client = dummy("client0");
        let mut kernel = open().await;
        for address in ["2001:db8::1", "10.0.0.1"] {
            let entry = neighbour(address, client);
            for _ in 0..2 {
                ok(&mut kernel, Action::InstallNeighbour(entry)).await;
            }
            let said = sh(&format!("ip neigh show {address} dev client0"));
            assert!(
                said.contains("extern_learn") && said.contains("STALE") && said.contains("proto 158"),
                "{said}"
            );
            let fact = wait_for_input(&mut kernel, |input| match input {
                Input::NeighbourSeen(fact) if fact.address == ip(address) => Some(*fact),
                _ => None,
            })
            .await;
            assert_eq!((fact.mac, fact.state, fact.ours), (Some(CLIENT), NeighbourState::Stale, true));
            let dumped = kernel.dump().await.expect("a dump");
            assert!(dumped.contains(&Input::NeighbourSeen(fact)), "{dumped:?}");
            for _ in 0..2 {
                ok(&mut kernel, Action::UninstallNeighbour(entry)).await;
            }
            wait_for_input(&mut kernel, |input| match input {
                Input::NeighbourGone { address: gone, .. } if *gone == ip(address) => Some(()),
                _ => None,
            })
            .await;
        }
    });
}

fn node_client_addresses() {
    run(async {
        let mut kernel = open().await;
        let address = settings().node_client_prefix.node_client_address(CLIENT);
        for _ in 0..2 {
            ok(&mut kernel, Action::AddNodeClientAddress(address)).await;
        }
        let said = sh("ip -6 addr show dev lo");
        assert!(said.contains(&format!("{address}/128")) && !said.contains("tentative"), "{said}");
        for _ in 0..2 {
            ok(&mut kernel, Action::RemoveNodeClientAddress(address)).await;
        }
        assert!(!sh("ip -6 addr show dev lo").contains(&address.to_string()));
    });
}

fn prefix_routes() {
    run(async {
        let mut kernel = open().await;
        for prefix in ["2001:db8::/64", "10.0.0.0/8"] {
            let family = if prefix.contains(':') { "-6" } else { "-4" };
            let show = || sh(&format!("ip {family} route show table 254 proto 160"));
            for _ in 0..2 {
                ok(&mut kernel, Action::InstallPrefixRoute(prefix.parse().expect("a prefix"))).await;
            }
            let said = show();
            assert!(
                said.contains(prefix) && said.contains("dev l3roam0") && said.lines().count() == 1,
                "{said}"
            );
            for _ in 0..2 {
                ok(&mut kernel, Action::UninstallPrefixRoute(prefix.parse().expect("a prefix"))).await;
            }
            assert_eq!(show(), "");
        }
    });
}

fn look_ups() {
    run(async {
        let client = dummy("client0");
        let mut kernel = open().await;
        sh("ip addr add 2001:db8:1::1/64 dev client0 nodad; ip addr add 10.1.0.1/16 dev client0");
        // The kernel makes its own route a moment after the address.
        sh(
            "for turn in $(seq 600); do ip -6 route show table local | grep -q 2001:db8:1::1 && break; sleep 0.1; done",
        );
        sh("ip -6 route add 2001:db8:2::1 dev client0 proto babel metric 1024");
        sh("ip -6 route add 2001:db8:2::2 dev client0 proto babel metric 65535");
        sh("ip -6 route add 2001:db8:2::3 dev l3roam0 proto 159 metric 16");
        sh("ip -6 route add unreachable 2001:db8:2::4 proto babel");
        sh("ip route add 10.2.0.1 via 10.1.0.2 proto bird metric 32; ip route add unreachable 10.2.0.2");
        sh("ip route add 10.2.0.3 proto babel nexthop via 10.1.0.2 nexthop via 10.1.0.3");
        sh("ip -6 route add 2001:db8:2::5 proto babel nexthop via 2001:db8:1::2 nexthop via 2001:db8:1::3");
        ok(&mut kernel, Action::InstallRoute(host("10.2.0.4", client, 254))).await;
        let along = |protocol| RouteLookup::HostRoute { interface: client, protocol };
        for (address, expected) in [
            ("2001:db8:1::1", RouteLookup::Local),
            ("10.1.0.1", RouteLookup::Local),
            ("2001:db8:1::2", RouteLookup::Network(client)),
            ("10.1.0.2", RouteLookup::Network(client)),
            ("2001:db8:2::1", along(42)),
            ("2001:db8:2::2", RouteLookup::Other),
            ("2001:db8:2::3", RouteLookup::Other),
            ("2001:db8:2::4", RouteLookup::Other),
            ("2001:db8:2::5", along(42)),
            ("10.2.0.1", along(12)),
            ("10.2.0.2", RouteLookup::Other),
            ("10.2.0.3", along(42)),
            ("10.2.0.4", along(158)),
            ("2001:db8:9::1", RouteLookup::Other),
            ("192.0.2.1", RouteLookup::Other),
        ] {
            let answer = kernel.apply(Action::LookupRoute(ip(address))).await;
            assert_eq!(answer, Some(Input::RouteLookedUp { address: ip(address), found: expected }));
        }
    });
}

fn adoption() {
    run(async {
        let client = dummy("client0");
        let mut kernel = open().await;
        let node_client = settings().node_client_prefix.node_client_address(CLIENT);
        sh("ip -6 route add 2001:db8::1 dev client0 proto 158 metric 16 table 1000");
        sh("ip route add 10.0.0.1 dev client0 proto 158 metric 7");
        sh(
            "ip -6 route add 2001:db8::2 dev l3roam0 proto 158; ip -6 route add 2001:db8::/64 dev client0 proto 158",
        );
        sh("ip -6 route add 2001:db8::3 dev client0 proto bird; ip -6 route add throw 2001:db8::4 proto 158");
        sh(&format!("ip neigh add 2001:db8::1 lladdr {CLIENT} dev client0 nud stale extern_learn"));
        sh(&format!("ip -6 addr add {node_client}/128 dev lo; ip -6 addr add fec0:1::1/128 dev lo"));
        let mut found = kernel.dump_own().await.expect("a dump");
        found.sort_by_key(|input| format!("{input:?}"));
        let adopted = |address, table, client_mac| Input::RouteAdopted {
            address: ip(address),
            interface: client,
            table,
            client: client_mac,
        };
        let mut expected = vec![
            Input::NodeClientAddressAdopted(node_client),
            adopted("2001:db8::1", 1000, Some(CLIENT)),
            adopted("10.0.0.1", 254, None),
        ];
        expected.sort_by_key(|input| format!("{input:?}"));
        assert_eq!(found, expected);
    });
}

fn reconciliation() {
    run(async {
        let (first, second) = (dummy("client0"), dummy("client1"));
        let mut kernel = open().await;
        let node_client = settings().node_client_prefix.node_client_address(CLIENT);
        let mut desired = DesiredState {
            routes: vec![
                host("10.0.0.1", first, 254),
                host("2001:db8::1", first, 1000),
                host("2001:db8::2", first, 254),
            ],
            neighbours: vec![neighbour("10.0.0.1", first), neighbour("2001:db8::1", first)],
            node_client_addresses: vec![node_client],
            prefixes: vec![
                "10.0.0.0/8".parse().expect("a prefix"),
                "2001:db8::/64".parse().expect("a prefix"),
            ],
        };
        let repairs = kernel.reconcile(&desired).await.expect("repairs");
        assert_eq!(repairs, Repairs { added: 8, removed: 0, failed: 0 });
        assert!(kernel.reconcile(&desired).await.expect("repairs").is_none());
        // Somebody flushes.
        sh("ip route flush proto 158; ip -6 route flush table 1000; ip -6 addr flush dev lo scope site");
        sh("ip neigh flush dev client0 nud all");
        sh("ip neigh del 10.0.0.1 dev client0 || true; ip neigh del 2001:db8::1 dev client0 || true");
        let repairs = kernel.reconcile(&desired).await.expect("repairs");
        assert_eq!(repairs, Repairs { added: 5, removed: 0, failed: 0 });
        // Somebody adds what carries our marks; others' things stay.
        sh(
            "ip -6 route add 2001:db8::9 dev client1 proto 158 table 7; ip -6 route add throw 2001:db8::8 proto 158",
        );
        sh("ip route add 10.9.0.0/16 dev client1 proto 160; ip route add 10.0.0.9 dev client1 proto bird");
        sh(&format!("ip neigh add 10.0.0.8 lladdr {CLIENT} dev client1 nud stale extern_learn"));
        sh(&format!("ip neigh add 10.0.0.9 lladdr {CLIENT} dev client1 nud stale extern_learn proto 158"));
        sh("ip -6 addr add fec0::5eff:fe10:1/128 dev lo");
        // One points at the wrong interface.
        desired.routes[2] = host("2001:db8::2", second, 254);
        let repairs = kernel.reconcile(&desired).await.expect("repairs");
        assert_eq!(repairs, Repairs { added: 1, removed: 5, failed: 0 });
        assert!(kernel.reconcile(&desired).await.expect("repairs").is_none());
        assert!(sh("ip route show proto bird").contains("10.0.0.9"));
        assert!(sh("ip neigh show dev client1").contains("10.0.0.8"));
        assert!(sh("ip -6 route show 2001:db8::2").contains("dev client1"));
        // A client has gone, and comes back: each is one replacement.
        for kind in [RouteKind::Drained, RouteKind::Served(first)] {
            desired.routes[0].kind = kind;
            let repairs = kernel.reconcile(&desired).await.expect("repairs");
            assert_eq!(repairs, Repairs { added: 1, removed: 0, failed: 0 });
            assert!(kernel.reconcile(&desired).await.expect("repairs").is_none());
        }
        let repairs = kernel.reconcile(&DesiredState::default()).await.expect("repairs");
        assert_eq!(repairs, Repairs { added: 0, removed: 8, failed: 0 });
        assert_eq!(
            sh("ip route show proto 158; ip -6 route show table all proto 158; ip -6 route show proto 160"),
            ""
        );
    });
}

fn links() {
    run(async {
        let mut kernel = open().await;
        sh(
            "ip link add br0 type bridge; ip link add port0 address 02:00:00:00:00:01 type veth peer name port1",
        );
        sh("ip link set port0 master br0; ip link set port0 up");
        let (bridge, port, peer) = (index_of("br0"), index_of("port0"), index_of("port1"));
        let seen = wait_for_input(&mut kernel, |input| match input {
            Input::LinkSeen(link) if link.index == port && link.up && link.master.is_some() => {
                Some(link.clone())
            }
            _ => None,
        })
        .await;
        assert_eq!((seen.master, seen.peer, seen.bridge), (Some(bridge), Some(peer), false));
        assert_eq!(seen.mac.map(|mac| mac.0), Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(seen.name.as_str(), "port0");
        let dumped = kernel.dump().await.expect("a dump");
        let dumped_bridge = dumped.iter().find_map(|input| match input {
            Input::LinkSeen(link) if link.index == bridge => Some(link.clone()),
            _ => None,
        });
        assert!(dumped_bridge.is_some_and(|link| link.bridge));
        // A port that leaves its bridge is not gone.
        sh("ip link set port0 nomaster");
        wait_for_input(&mut kernel, |input| match input {
            Input::LinkSeen(link) if link.index == port && link.master.is_none() => Some(()),
            Input::LinkGone(index) => panic!("{index} gone"),
            _ => None,
        })
        .await;
        // In another namespace a peer is nobody's.
        let other = Namespace::new();
        sh(&format!("ip link set port1 netns {}", other.pid()));
        wait_for_input(&mut kernel, |input| (*input == Input::LinkGone(peer)).then_some(())).await;
        let dumped = kernel.dump().await.expect("a dump");
        let told = dumped.iter().find_map(|input| match input {
            Input::LinkSeen(link) if link.index == port => Some(link.peer),
            _ => None,
        });
        assert_eq!(told, Some(None));
        sh("ip link del br0");
        wait_for_input(&mut kernel, |input| (*input == Input::LinkGone(bridge)).then_some(())).await;
        assert_eq!(kernel.counters().netlink_undecodable, 0);
    });
}

fn host_route_events() {
    run(async {
        let client = dummy("client0");
        let mut kernel = open().await;
        sh("ip addr add 10.1.0.1/16 dev client0; ip -6 addr add 2001:db8:1::1/64 dev client0 nodad");
        sh("ip route add 10.0.0.0/24 dev client0; ip -6 route add 2001:db8::3 dev l3roam0 proto 159");
        sh(
            "ip -6 route add unreachable 2001:db8::4; ip -6 route add 2001:db8::5 dev client0 table 70000 proto bird",
        );
        let told = wait_for_input(&mut kernel, |input| match input {
            Input::HostRouteSeen(address) => Some(*address),
            _ => None,
        })
        .await;
        assert_eq!(told, ip("2001:db8::5"));
        ok(&mut kernel, Action::InstallRoute(host("10.0.0.1", client, 254))).await;
        wait_for_input(&mut kernel, |input| (*input == Input::HostRouteSeen(ip("10.0.0.1"))).then_some(()))
            .await;
    });
}

fn forwarding_database() {
    run(async {
        let client = Namespace::new();
        let mut kernel = open().await;
        sh("ip link add br0 type bridge; ip link set br0 up; ip link add port0 type veth peer name eth0");
        sh(&format!(
            "ip link set port0 master br0 up; ip link set eth0 address {CLIENT} netns {}",
            client.pid()
        ));
        client.sh("ip link set eth0 up");
        let (bridge, port) = (index_of("br0"), index_of("port0"));
        let entry = wait_for_input(&mut kernel, |input| match input {
            Input::FdbSeen(entry) if entry.mac == CLIENT => Some(*entry),
            _ => None,
        })
        .await;
        assert_eq!((entry.bridge, entry.port, entry.permanent), (bridge, port, false));
        let dumped = kernel.dump().await.expect("a dump");
        assert!(dumped.contains(&Input::FdbSeen(entry)));
        let own =
            dumped.iter().any(|input| matches!(input, Input::FdbSeen(e) if e.port == port && e.permanent));
        assert!(own, "{dumped:?}");
        for _ in 0..2 {
            ok(&mut kernel, Action::Unlearn { port, client: CLIENT }).await;
        }
        wait_for_input(&mut kernel, |input| (*input == Input::FdbGone(entry)).then_some(())).await;
        sh("ip link set port0 nomaster");
        ok(&mut kernel, Action::Unlearn { port, client: CLIENT }).await;
        ok(&mut kernel, Action::Unlearn { port: IfIndex(9999), client: CLIENT }).await;
    });
}

fn overrun() {
    run(async {
        let client = dummy("client0");
        let mut kernel = open().await;
        kernel.set_event_buffer(4096).expect("a socket");
        for n in 0..200 {
            ok(&mut kernel, Action::InstallRoute(host(&format!("10.0.0.{n}"), client, 254))).await;
        }
        wait_for(&mut kernel, |event| matches!(event, Event::StateLost(_)).then_some(())).await;
        assert_eq!(kernel.counters().netlink_overruns, 1);
        // What was queued before the overrun is old and not told; what comes after it is.
        assert!(kernel.try_next().is_none());
        sh("ip route add 10.9.0.1 dev client0");
        wait_for_input(&mut kernel, |input| (*input == Input::HostRouteSeen(ip("10.9.0.1"))).then_some(()))
            .await;
    });
}

fn vanished_interface() {
    run(async {
        let mut kernel = open().await;
        let gone = IfIndex(4711);
        let reason = failure(&mut kernel, Action::InstallRoute(host("10.0.0.1", gone, 254))).await;
        assert_eq!(reason, FailureReason::Refused);
        failure(&mut kernel, Action::InstallRoute(host("2001:db8::1", gone, 254))).await;
        failure(&mut kernel, Action::InstallNeighbour(neighbour("10.0.0.1", gone))).await;
        for address in ["10.0.0.1", "2001:db8::1"] {
            ok(&mut kernel, Action::UninstallRoute(host(address, gone, 254))).await;
            ok(&mut kernel, Action::UninstallRoute(host(address, gone, 4711))).await;
            ok(&mut kernel, Action::UninstallNeighbour(neighbour(address, gone))).await;
        }
    });
}

fn lost_end() {
    run(async {
        let client = dummy("client0");
        let mut kernel = open().await;
        kernel.dump().await.expect("a dump");
        sh("ip link del client0");
        // The announcement is thrown away.
        kernel.set_event_buffer(1 << 20).expect("a socket");
        let dumped = kernel.dump().await.expect("a dump");
        assert!(dumped.contains(&Input::LinkGone(client)), "{dumped:?}");
        let dumped = kernel.dump().await.expect("a dump");
        assert!(!dumped.contains(&Input::LinkGone(client)), "{dumped:?}");
    });
}

fn forged() {
    run(async {
        let mut kernel = open().await;
        dummy("client0");
        while kernel.try_next().is_some() {}
        // A removal of lo, to the group of links; port 4711 is nobody.
        let mut message = vec![32, 0, 0, 0, 17, 0, 0, 0];
        message.resize(32, 0);
        message[20..24].copy_from_slice(&1_u32.to_ne_bytes());
        message[..4].copy_from_slice(&32_u32.to_ne_bytes());
        message[4..6].copy_from_slice(&17_u16.to_ne_bytes());
        let socket = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE).expect("a socket");
        let _ = socket.send_to(&message, &netlink_sys::SocketAddr::new(4711, 1), 0);
        sh("ip link add later0 type bridge");
        wait_for_input(&mut kernel, |input| match input {
            Input::LinkGone(index) => panic!("{index} is believed to be gone"),
            Input::LinkSeen(link) if link.name.as_str() == "later0" => Some(()),
            _ => None,
        })
        .await;
        assert_eq!(kernel.counters().netlink_not_from_kernel, 1);
    });
}
