//! Two nodes whose client bridges are wired together.

use super::super::input::{FdbEntry, NeighbourFact, NeighbourState};
use super::super::output::LeaveReason;
use super::*;

fn fdb(client: Mac, port: IfIndex) -> Input {
    Input::FdbSeen(FdbEntry { bridge: BRIDGE, port, mac: client, permanent: false })
}

/// A bench that has heard of node 2 on the intercom.
fn acquainted() -> Bench {
    let mut bench = Bench::new();
    bench.receives(node(2), Body::Ack { client: mac(99), tail: Tail::default() });
    bench.drain();
    bench
}

fn sign(bench: &mut Bench, from: Ipv6Addr) {
    bench.hears_on(PORT, Mac([6, 0, 0, 0, 0, 2]), FrameContent::AskedBy(from));
}

fn announce() -> Action {
    Action::Announce { interface: BRIDGE, port: PORT }
}

#[test]
fn what_is_behind_a_port_that_leads_to_another_node_is_no_client_but_reported() {
    let mut bench = acquainted();
    bench.serve(mac(1), &[v6(1)]);
    bench.drain();
    sign(&mut bench, node(2));
    let outputs = bench.drain();
    let told = Notice::NodeBehindPort { port: "port0".parse().unwrap(), node: node(2) };
    let left = Notice::ClientLeft { client: mac(1), reason: LeaveReason::Removed };
    for output in
        [announce(), Action::Rescan].map(Output::Action).into_iter().chain([told, left].map(Output::Notice))
    {
        assert!(outputs.contains(&output), "{output:?} in {outputs:?}");
    }
    bench.input(fdb(mac(1), PORT));
    bench.hears_on(PORT, mac(1), FrameContent::Uses(v6(1)));
    // The kernel answered its solicitation for the gateway, which does not tell the port.
    bench.input(Input::NeighbourSeen(NeighbourFact {
        interface: BRIDGE,
        address: v6(1),
        mac: Some(mac(1)),
        state: NeighbourState::Stale,
        ours: false,
    }));
    assert_eq!(bench.drain(), []);
    bench.input(fdb(mac(1), OTHER_PORT));
    assert!(bench.engine.client(mac(1)).is_some(), "it came to a port of ours");
}

#[test]
fn signs_of_ourselves_or_of_strangers_or_on_access_points_mean_nothing() {
    let mut bench = acquainted();
    sign(&mut bench, node(1));
    sign(&mut bench, node(3));
    bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
    bench.drain();
    sign(&mut bench, node(2));
    assert_eq!(bench.drain(), []);
    assert!(bench.engine.client(mac(1)).is_some());
    assert_eq!(bench.count(Counter::ForeignSignIgnored), 2);
}

#[test]
fn two_nodes_do_not_answer_each_other_for_ever() {
    let mut bench = acquainted();
    sign(&mut bench, node(2));
    assert!(bench.actions().contains(&announce()));
    for _ in 0..5 {
        sign(&mut bench, node(2));
    }
    assert_eq!(bench.drain(), []);
    bench.pass(Duration::from_secs(10));
    sign(&mut bench, node(2));
    assert_eq!(bench.actions(), [announce()]);
}

#[test]
fn an_old_sign_is_asked_after_and_ends_when_nobody_answers() {
    let mut bench = acquainted();
    sign(&mut bench, node(2));
    bench.pass(Duration::from_secs(60));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.actions(), [announce()]);
    sign(&mut bench, node(2));
    bench.drain();
    bench.pass(Duration::from_secs(59));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.actions(), [], "renewed");
    bench.pass(Duration::from_secs(2));
    bench.hears(mac(1), v6(1));
    bench.pass(Duration::from_secs(1));
    bench.hears(mac(1), v6(1));
    assert!(bench.engine.client(mac(1)).is_some(), "the wire was pulled, clients are plugged in now");
}
