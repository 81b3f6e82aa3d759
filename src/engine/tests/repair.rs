//! What somebody else removes from the kernel.

use super::*;

#[test]
fn what_somebody_removes_from_the_kernel_is_compared_soon_and_not_more_often_than_twice_a_second() {
    let reconciles = |log: &[(u64, Action)]| -> Vec<u64> {
        log.iter().filter(|(_, action)| *action == Action::Reconcile).map(|(at, _)| *at).collect()
    };
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    let own = bench.engine.config().node_client_prefix.node_client_address(mac(1));
    let removed = [
        Input::RouteGone(route(v6(1))),
        Input::PrefixRouteGone(prefix("2001:db8::/64")),
        Input::OwnAddressGone(IpAddr::V6(own)),
    ];
    for (n, input) in removed.into_iter().enumerate() {
        bench.input(input.clone());
        bench.input(input.clone());
        assert_eq!(reconciles(&bench.pass_ms(100)), [50], "{input:?}");
        bench.input(input.clone());
        assert_eq!(reconciles(&bench.pass_ms(1000)), [450], "{n}: {input:?}");
    }
    for not_ours in [
        Input::RouteGone(route(v6(2))),
        Input::RouteGone(drained(v6(1))),
        Input::RouteGone(HostRoute { table: 77, ..route(v6(1)) }),
        Input::PrefixRouteGone(prefix("2001:db8:7::/64")),
        Input::OwnAddressGone(ip("2001:db8:7::1")),
    ] {
        bench.input(not_ours.clone());
        assert_eq!(reconciles(&bench.pass_ms(1000)), Vec::<u64>::new(), "{not_ours:?}");
    }
}
