use serde_json::json;

use super::*;

const TICKET: Ticket = Ticket(7);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn device(name: &str) -> Option<InterfaceName> {
    Some(name.parse().unwrap())
}

fn table(value: Value) -> Table {
    value.as_object().unwrap().clone()
}

fn reply(networks: Value) -> Event {
    Event::Reply { ticket: TICKET, outcome: Ok(table(json!({ "interface": networks }))) }
}

fn refused(status: Status) -> Event {
    Event::Reply { ticket: TICKET, outcome: Err(status) }
}

fn update(name: &str) -> Event {
    let data = table(json!({ "interface": "lan" }));
    Event::Notification { path: OBJECT.to_owned(), name: name.to_owned(), data }
}

fn object(present: bool) -> Event {
    Event::Object { path: OBJECT.to_owned(), present }
}

/// What was dumped.
fn networks(told: Value) -> Networks {
    let mut networks = Networks::new(TICKET);
    networks.handle(at(0), &Event::Connected);
    assert!(networks.order(at(0)).is_some());
    assert!(networks.handle(at(0), &reply(told)));
    networks
}

fn client_network() -> Value {
    json!({
        "interface": "client", "up": true, "pending": false, "available": true, "autostart": true, "dynamic": false,
        "uptime": 12, "l3_device": "br-client", "proto": "static", "device": "br-client", "updated": ["addresses"],
        "metric": 0, "dns_metric": 0, "delegation": true,
        "ipv4-address": [{ "address": "10.0.0.1", "mask": 24 }], "ipv6-address": [], "ipv6-prefix": [],
        "route": [], "dns-server": [], "neighbors": [], "data": { "zone": "loc_client" }
    })
}

fn down(name: &str, lower: Option<&str>) -> Value {
    let mut told = json!({
        "interface": name, "up": false, "pending": false, "available": true, "autostart": false, "dynamic": false,
        "proto": "static", "data": {}
    });
    if let Some(lower) = lower {
        told["device"] = json!(lower);
    }
    told
}

fn up(name: &str, proto: &str, device: &str) -> Value {
    json!({ "interface": name, "up": true, "proto": proto, "l3_device": device, "device": device })
}

#[test]
fn a_network_means_its_device_and_any_other_name_a_device() {
    let networks = networks(json!([
        client_network(),
        { "interface": "wan", "up": true, "proto": "pppoe", "l3_device": "pppoe-wan", "device": "eth0.7" },
        down("guest", Some("br-guest")),
    ]));
    assert_eq!(networks.resolve("client"), device("br-client"));
    assert_eq!(networks.resolve("wan"), device("pppoe-wan"), "not the lower device");
    assert_eq!(networks.resolve("guest"), None, "it has not been up");
    assert_eq!(networks.resolve("mesh0"), device("mesh0"));
    assert_eq!(networks.resolve("a-name-that-no-device-can-have"), None);
}

#[test]
fn a_protocol_means_the_devices_of_all_its_networks() {
    let networks = networks(json!([
        up("mesh_radio0", "gluon_mesh", "mesh0"),
        up("mesh_vpn", "gluon_mesh", "vx_mesh_vpn"),
        up("mesh_vpn_twice", "gluon_mesh", "vx_mesh_vpn"),
        down("mesh_lan", None),
        client_network(),
    ]));
    assert_eq!(
        networks.devices_of_proto("gluon_mesh"),
        [device("mesh0"), device("vx_mesh_vpn")].map(Option::unwrap)
    );
    assert!(networks.devices_of_proto("gluon").is_empty());
}

#[test]
fn the_nodes_address_is_the_first_of_loopback_that_others_can_reach() {
    let told = |addresses: Value| {
        json!([{ "interface": "loopback", "up": true, "proto": "static", "l3_device": "lo", "device": "lo",
                 "ipv6-address": addresses }])
    };
    let entry = |address: &str| json!({ "address": address, "mask": 128 });
    let mut all = networks(told(json!([
        entry("::1"),
        entry("fe80::1"),
        5,
        entry("ff02::1"),
        entry("fd00::1"),
        entry("fd00::2")
    ])));
    assert_eq!(all.loopback_address(), Some("fd00::1".parse().unwrap()));
    all.take_changed();
    all.handle(at(1), &reply(told(json!([]))));
    assert_eq!(all.loopback_address(), Some("fd00::1".parse().unwrap()), "it is being set up anew");
    assert!(!all.take_changed());
    assert_eq!(networks(told(json!([entry("::1")]))).loopback_address(), None);
}

#[test]
fn a_network_that_is_down_keeps_the_device_it_had() {
    let mut networks = networks(json!([client_network(), up("client6", "static", "br-client")]));
    assert!(networks.take_changed());
    // Another network on the device is no reason to lose it.
    networks.handle(
        at(1),
        &reply(json!([down("client", Some("br-client")), up("client6", "static", "br-client")])),
    );
    assert_eq!(networks.resolve("client"), device("br-client"));
    assert!(!networks.get("client").unwrap().up);
    networks.handle(at(2), &reply(json!([down("client", None)])));
    assert_eq!(networks.resolve("client"), device("br-client"));
    networks.handle(at(3), &reply(json!([up("client", "static", "br-other")])));
    assert_eq!(networks.resolve("client"), device("br-other"));
}

#[test]
fn a_device_that_another_network_took_meanwhile_is_not_that_of_the_one_that_is_down() {
    let mut networks = networks(json!([up("wifi", "static", "phy0-ap0")]));
    networks.handle(at(1), &reply(json!([down("wifi", None), up("guest", "static", "phy0-ap0")])));
    assert_eq!(networks.resolve("wifi"), None);
    assert_eq!(networks.resolve("guest"), device("phy0-ap0"));
}

#[test]
fn a_network_that_is_deleted_is_forgotten() {
    let mut networks = networks(json!([client_network()]));
    networks.take_changed();
    networks.handle(at(1), &reply(json!([])));
    assert!(networks.take_changed());
    assert_eq!(networks.resolve("client"), device("client"));
}

#[test]
fn what_was_known_stays_while_netifd_is_away() {
    let mut networks = networks(json!([client_network()]));
    networks.take_changed();
    for event in [object(true), object(false), Event::Disconnected, refused(Status::ConnectionFailed)] {
        networks.handle(at(1), &event);
        assert_eq!(networks.resolve("client"), device("br-client"));
    }
    assert_eq!(networks.order(at(9)), None, "nobody is there to be asked");
    networks.handle(at(10), &Event::Connected);
    networks.handle(at(10), &object(true));
    assert!(networks.order(at(10)).is_some());
    networks.handle(at(10), &reply(json!([down("client", Some("br-client"))])));
    assert_eq!(networks.resolve("client"), device("br-client"), "it has just begun");
}

#[test]
fn one_dump_is_on_its_way_and_one_more_is_wanted() {
    let mut networks = Networks::new(TICKET);
    assert_eq!((networks.order(at(0)), networks.deadline()), (None, None), "not connected");
    networks.handle(at(0), &Event::Connected);
    networks.handle(at(0), &object(true));
    let order = networks.order(at(0));
    assert_eq!(
        order,
        Some(Order::Call {
            ticket: TICKET,
            path: OBJECT.to_owned(),
            method: "dump",
            arguments: Table::new()
        })
    );
    for name in ["interface.down", "interface.update", "interface.update"] {
        assert!(networks.handle(at(1), &update(name)));
        assert_eq!((networks.order(at(1)), networks.deadline()), (None, None));
    }
    networks.handle(at(2), &reply(json!([client_network()])));
    assert!(networks.order(at(2)).is_some());
    networks.handle(at(2), &reply(json!([client_network()])));
    assert_eq!((networks.order(at(3)), networks.deadline()), (None, None));
    assert!(networks.take_changed());
    networks.handle(at(4), &update("interface.update"));
    assert!(networks.order(at(4)).is_some());
    networks.handle(at(4), &reply(json!([client_network()])));
    assert!(!networks.take_changed(), "nothing is different");
}

#[test]
fn a_dump_that_fails_is_asked_for_again_but_not_at_once() {
    let mut networks = Networks::new(TICKET);
    networks.handle(at(0), &Event::Connected);
    assert!(networks.order(at(0)).is_some());
    networks.handle(at(0), &refused(Status::NotFound));
    assert_eq!(networks.deadline(), None, "netifd is not there yet");
    networks.handle(at(1), &object(true));
    assert!(networks.order(at(1)).is_some());
    networks.handle(at(2), &refused(Status::Timeout));
    assert_eq!((networks.order(at(3)), networks.deadline()), (None, Some(at(4))));
    assert!(networks.order(at(4)).is_some());
    networks.not_sent(at(4));
    assert_eq!((networks.order(at(5)), networks.deadline()), (None, Some(at(6))));
    networks.want(at(5));
    assert!(networks.order(at(5)).is_some(), "somebody knows better");
    assert!(!networks.is_known());
}

#[test]
fn what_netifd_cannot_mean_is_ignored() {
    let long = "x".repeat(1000);
    let mut networks = networks(json!([
        5, null, "lan", [], {}, { "interface": 5 }, { "interface": long, "up": true, "l3_device": "eth0" },
        { "interface": "odd", "up": "yes", "l3_device": "eth0", "proto": 7 },
        { "interface": "slash", "up": true, "l3_device": "../../etc" },
        up("lan", "static", "br-lan"),
    ]));
    assert_eq!(networks.known.len(), 3);
    assert_eq!(networks.resolve("odd"), None);
    assert_eq!(networks.resolve("slash"), None);
    assert_eq!(networks.resolve("lan"), device("br-lan"));
    networks.take_changed();
    for unreadable in [json!({}), json!({ "interface": 5 }), json!({ "interface": { "lan": {} } })] {
        networks.handle(at(1), &Event::Reply { ticket: TICKET, outcome: Ok(table(unreadable)) });
        assert_eq!(networks.resolve("lan"), device("br-lan"));
    }
    assert!(!networks.take_changed());
    let many: Vec<Value> = (0..2000).map(|n| up(&format!("n{n}"), "static", "eth0")).collect();
    networks.handle(at(2), &reply(json!(many)));
    assert_eq!(networks.known.len(), MAX_NETWORKS);
}

#[test]
fn what_others_say_and_are_answered_is_not_taken() {
    let mut networks = networks(json!([client_network()]));
    let other = Event::Reply { ticket: Ticket(8), outcome: Ok(table(json!({ "interface": [] }))) };
    let object = Event::Object { path: "network.interface.client".to_owned(), present: true };
    let notification = Event::Notification {
        path: "hostapd.ap0".to_owned(),
        name: "interface.update".to_owned(),
        data: Table::new(),
    };
    for event in [other, object, notification, Event::Subscribed(true)] {
        assert!(!networks.handle(at(1), &event));
    }
    assert_eq!((networks.order(at(1)), networks.resolve("client")), (None, device("br-client")));
}
