//! Whose drained route ends first, where a client walks on.

use super::*;
use crate::wire::intercom::Flags;

const BEFORE: u16 = 2;
const AFTER: u16 = 3;

fn moved_on(sequence: u32, hops: u8) -> Body {
    let (sequence, hops) = (Some(sequence), Some(hops));
    info(mac(1), &[], Tail { sequence, hops, flags: Flags::FROM_MEMORY, ..Tail::default() })
}

/// Who was told that client 1 has gone on, with the number of its stay and how often that was told on.
fn told(bench: &mut Bench) -> Vec<(IntercomDestination, u32, u8)> {
    let told = bench.sent().into_iter().filter_map(|(to, sent)| match sent.body {
        Body::Info { client, addresses, tail, .. } if addresses.is_empty() => {
            assert_eq!((client, tail.flags), (mac(1), Flags::FROM_MEMORY));
            Some((to, tail.sequence?, tail.hops?))
        }
        _ => None,
    });
    told.collect()
}

/// When the drained route of client 1 ends, in milliseconds from now.
fn ends(bench: &mut Bench) -> Option<u64> {
    let drained = drained(v6(1));
    let log = bench.pass(Duration::from_secs(120));
    log.into_iter().find(|(_, action)| *action == Action::UninstallRoute(drained)).map(|(at, _)| at)
}

/// A node that had client 1 from BEFORE, as stay 5, and has handed it to AFTER, as stay 6.
fn between() -> Bench {
    let mut bench = Bench::new();
    bench.takes_over(node(BEFORE), 5);
    bench.receives_relaying(node(AFTER), claim(mac(1), Tail::default()));
    bench
}

#[test]
fn the_node_that_a_client_came_from_is_told_that_it_has_gone_on_and_again_with_the_ack() {
    let mut bench = between();
    assert_eq!(told(&mut bench), [(to(BEFORE), 6, 0)]);
    bench.receives_relaying(node(AFTER), ack(mac(1)));
    assert_eq!(told(&mut bench), [(to(BEFORE), 6, 0)]);
    bench.receives_relaying(node(AFTER), ack(mac(1)));
    assert_eq!(told(&mut bench), [], "a second ACK is nothing new");
}

/// It comes back from AFTER.
fn comes_back(bench: &mut Bench) {
    bench.pass_ms(1000);
    bench.takes_over(node(AFTER), 7);
}

#[test]
fn who_claims_a_client_is_not_told_where_it_went_but_others_before_are() {
    let mut bench = between();
    comes_back(&mut bench);
    bench.receives_relaying(node(AFTER), claim(mac(1), Tail::default()));
    assert_eq!(told(&mut bench), [(to(BEFORE), 8, 0)]);
}

#[test]
fn nobody_is_told_whose_drained_route_has_long_ended() {
    let mut bench = between();
    comes_back(&mut bench);
    for _ in 0..10 {
        bench.pass(Duration::from_secs(10));
        bench.hears(mac(1), v6(1));
    }
    bench.drain();
    bench.receives_relaying(node(4), claim(mac(1), Tail::default()));
    assert_eq!(told(&mut bench), []);
}

#[test]
fn a_route_outlasts_that_of_the_node_which_the_client_went_on_from() {
    assert_eq!(ends(&mut between()), Some(10_000), "the client has stayed there");
    for (hops, margin) in [(0, 5000), (1, 10_000), (7, 40_000)] {
        let mut bench = between();
        bench.drain();
        bench.pass_ms(1000);
        bench.receives_relaying(node(AFTER), moved_on(7, hops));
        assert_eq!(told(&mut bench), [(to(BEFORE), 7, hops + 1)], "and it is told on");
        bench.receives_relaying(node(AFTER), moved_on(7, hops));
        assert_eq!(told(&mut bench), [], "once");
        assert_eq!(ends(&mut bench), Some(10_000 + margin), "{hops}");
    }
}

#[test]
fn a_client_that_walks_on_and_on_keeps_no_route_for_ever() {
    let mut bench = between();
    bench.drain();
    for stay in 0..60 {
        bench.receives_relaying(node(AFTER), moved_on(7 + stay, 7));
        bench.pass_ms(1000);
    }
    assert_eq!(ends(&mut bench), Some(30_000), "90 s after it left");
}

#[test]
fn who_says_that_a_client_went_on_must_have_had_it_from_here_and_news_must_be_new() {
    let others = [
        (node(4), moved_on(7, 0)),
        (node(AFTER), moved_on(6, 0)),
        (node(AFTER), moved_on(0, 0)),
        (node(AFTER), moved_on(7, 8)),
        (node(AFTER), moved_on(7, 255)),
        (node(AFTER), info(mac(1), &[], Tail { flags: Flags::FROM_MEMORY, ..Tail::default() })),
        (node(AFTER), info(mac(1), &[], Tail { sequence: Some(7), ..Tail::default() })),
        (node(AFTER), info(mac(2), &[], Tail { sequence: Some(7), ..Tail::default() })),
    ];
    for (sender, body) in others {
        let mut bench = between();
        bench.drain();
        bench.receives_relaying(sender, body.clone());
        assert_eq!(told(&mut bench), [], "{body:?}");
        assert_eq!(ends(&mut bench), Some(10_000), "{body:?}");
    }
}
