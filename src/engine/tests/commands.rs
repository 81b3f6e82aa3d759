//! Commands at run time.

use super::*;

fn run(bench: &mut Bench, line: &str) -> Result<(), CommandError> {
    bench.engine.command(bench.now, &line.parse().unwrap())
}

#[test]
fn a_prefix_added_at_run_time_is_served_and_a_removed_one_no_longer() {
    let mut bench = Bench::new();
    for text in ["2001:db8:5::/64", "192.0.2.0/24"] {
        run(&mut bench, &format!("add-prefix {text}")).unwrap();
        assert_eq!(bench.actions(), [Action::InstallPrefixRoute(prefix(text)), Action::Rescan]);
        run(&mut bench, &format!("add-prefix {text}")).unwrap();
        assert_eq!(bench.actions(), [], "twice is once");
    }
    bench.serve(mac(1), &[ip("2001:db8:5::1"), ip("192.0.2.1"), v6(1)]);
    assert_eq!(bench.engine.desired_state().routes.len(), 3);
    run(&mut bench, "del_prefix 192.0.2.0/24").unwrap();
    let actions = bench.actions();
    assert!(actions.contains(&Action::UninstallPrefixRoute(prefix("192.0.2.0/24"))));
    assert!(actions.contains(&Action::UninstallRoute(route(ip("192.0.2.1")))));
    assert_eq!(bench.engine.desired_state().routes.len(), 2);
    let error = run(&mut bench, "remove-prefix 192.0.2.0/24").unwrap_err();
    assert!(error.to_string().contains("192.0.2.0/24"));
}

#[test]
fn another_export_table_gets_the_route_before_the_old_one_loses_it() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    run(&mut bench, "set-export-table 1000").unwrap();
    let new = HostRoute { table: 1000, ..route(v6(1)) };
    assert_eq!(bench.actions(), [Action::InstallRoute(new), Action::UninstallRoute(route(v6(1)))]);
    run(&mut bench, "set-export-table 1000").unwrap();
    assert_eq!(bench.actions(), []);
}

#[test]
fn interfaces_are_attached_and_detached_at_run_time() {
    let mut bench = Bench::new();
    run(&mut bench, "add_meshif mesh7").unwrap();
    assert_eq!(bench.notices().len(), 1, "it does not exist yet, and that is told");
    let link = Link {
        index: IfIndex(9),
        name: "mesh7".parse().unwrap(),
        mac: None,
        up: true,
        running: true,
        master: None,
        bridge: false,
        peer: None,
    };
    bench.input(Input::LinkSeen(link));
    assert_eq!(bench.actions(), [Action::JoinMesh(IfIndex(9))]);
    run(&mut bench, "detach-mesh-interface mesh7").unwrap();
    assert_eq!(bench.actions(), [Action::LeaveMesh(IfIndex(9))]);
    assert!(run(&mut bench, "detach-mesh-interface mesh7").is_err());
    assert!(matches!(run(&mut bench, "attach-client-interface mesh0"), Err(CommandError::OtherRole(..))));

    bench.serve(mac(1), &[v6(1)]);
    run(&mut bench, "detach-client-interface br-client").unwrap();
    assert!(bench.actions().contains(&Action::UninstallRoute(route(v6(1)))));
    run(&mut bench, "attach-client-interface br-client").unwrap();
    assert!(bench.actions().contains(&Action::Listen(PORT)));
}

#[test]
fn addresses_and_clients_can_be_added_and_removed_by_hand() {
    let mut bench = Bench::new();
    run(&mut bench, "add_address 2001:db8::1:1 02:00:5e:10:00:01").unwrap();
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
    assert!(matches!(
        run(&mut bench, "add-address 192.0.2.1 02:00:5e:10:00:01"),
        Err(CommandError::OutsidePrefixes(_))
    ));
    assert!(matches!(
        run(&mut bench, "del_address 2001:db8::1:2 02:00:5e:10:00:01"),
        Err(CommandError::UnknownAddress(_))
    ));
    run(&mut bench, "del_address 2001:db8::1:1 02:00:5e:10:00:01").unwrap();
    assert_eq!(bench.engine.desired_state().routes, []);
    run(&mut bench, "drop-client 02:00:5e:10:00:01").unwrap();
    assert!(matches!(run(&mut bench, "drop-client 02:00:5e:10:00:01"), Err(CommandError::UnknownClient(_))));
    bench.drain();
    run(&mut bench, "probe 2001:db8::1:1 02:00:5e:10:00:01").unwrap();
    let probe = Action::Probe { interface: BRIDGE, address: v6(1), client: Some(mac(1)) };
    assert_eq!(bench.actions(), [probe]);
}

#[test]
fn prefixes_and_interfaces_are_bounded() {
    let mut bench = Bench::new();
    let added = (0..100).filter(|n| run(&mut bench, &format!("add-prefix 10.{n}.0.0/16")).is_ok()).count();
    assert_eq!(added, 62, "two were there");
    let attached =
        (0..100).filter(|n| run(&mut bench, &format!("attach-mesh-interface m{n}")).is_ok()).count();
    assert_eq!(attached, 63, "one was there");
}

#[test]
fn limits_below_what_there_is_drop_nobody_and_count_from_now_on() {
    let mut bench = Bench::new();
    for n in 1..=5 {
        bench.hears(mac(n), v6(n));
    }
    bench.hears(mac(1), v6(11));
    bench.drain();
    let stands = bench.engine.desired_state();
    let mut tunables = crate::engine::config::Tunables::default();
    (tunables.max_clients, tunables.max_addresses, tunables.max_former) = (2, 1, 0);
    (tunables.max_queue_packets, tunables.max_peers, tunables.client_age) = (1, 1, Duration::from_secs(1));
    let adjustable = crate::engine::config::Adjustable {
        client_bridge: None,
        node_prefixes: Vec::new(),
        plat_prefix: Some("64:ff9b::".parse().unwrap()),
        tunables: tunables.clone(),
    };
    bench.engine.adjust(bench.now, adjustable);
    assert_eq!(bench.engine.poll(), None, "nothing is to be done");
    assert_eq!(bench.engine.desired_state(), stands);
    assert_eq!(bench.engine.config().tunables, tunables);
    for n in 1..=5 {
        bench.hears(mac(n), v6(n));
    }
    bench.hears(mac(6), v6(6));
    assert_eq!(bench.engine.desired_state().routes, stands.routes);
    assert_eq!(bench.count(Counter::ClientLimit), 1);
}
