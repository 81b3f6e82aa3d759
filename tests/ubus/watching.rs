//! Objects of others, and our own notifications.

use std::thread;
use std::time::Duration;

use l3roamd::openwrt::ubus::{Event, Order};
use serde_json::{Value, json};

use crate::Test;
use crate::lab::{LONG, Lab, NAME, World};

pub const TESTS: &[Test] = &[
    ("objects are followed as they come and go", objects_are_followed_as_they_come_and_go),
    ("notifiers are told apart", notifiers_are_told_apart),
    ("a new broker is asked for everything again", a_new_broker_is_asked_for_everything_again),
    ("subscribers are told, and counted by whether", subscribers_are_told_and_counted_by_whether),
];

fn notification(lab: &mut Lab) -> (String, String, Value) {
    lab.daemon.find("a notification", LONG, |event| match event {
        Event::Notification { path, name, data } => {
            Some((path.clone(), name.clone(), Value::Object(data.clone())))
        }
        _ => None,
    })
}

fn objects_are_followed_as_they_come_and_go(world: &World) {
    let mut lab = Lab::new(world);
    let mut peer = lab.peer();
    peer.offer("hostapd");
    peer.offer("network.interface.lan");
    for round in 0..3 {
        let id = peer.offer("hostapd.phy0-ap0");
        lab.daemon.object("hostapd.phy0-ap0", true);
        let status =
            peer.notify(id, "assoc", &json!({"address": "02:00:00:00:00:01", "signal": -50 - round}));
        assert_eq!(status, Some(0), "answered with success at once");
        let expected = json!({"address": "02:00:00:00:00:01", "signal": -50 - round});
        assert_eq!(notification(&mut lab), ("hostapd.phy0-ap0".into(), "assoc".into(), expected));
        peer.withdraw(id);
        lab.daemon.object("hostapd.phy0-ap0", false);
    }
    // One whose program dies.
    let mut mortal = lab.peer();
    mortal.offer("network.interface");
    lab.daemon.object("network.interface", true);
    drop(mortal);
    lab.daemon.object("network.interface", false);
    assert_eq!(lab.daemon.rest(), [], "each coming and going is told once, and only what is watched");
}

fn notifiers_are_told_apart(world: &World) {
    let mut lab = Lab::new(world);
    let mut peer = lab.peer();
    let ids: Vec<_> = (0..5).map(|number| peer.offer(&format!("hostapd.ap{number}"))).collect();
    for number in 0..5 {
        lab.daemon.object(&format!("hostapd.ap{number}"), true);
    }
    for (number, id) in ids.into_iter().enumerate().rev() {
        assert_eq!(peer.notify(id, "probe", &json!({"number": number})), Some(0));
        assert_eq!(
            notification(&mut lab),
            (format!("hostapd.ap{number}"), "probe".into(), json!({"number": number}))
        );
    }
}

fn a_new_broker_is_asked_for_everything_again(world: &World) {
    let mut lab = Lab::new(world);
    let mut peer = lab.peer();
    peer.offer("network.interface");
    lab.daemon.object("network.interface", true);
    for round in 0..5 {
        lab.broker.kill();
        drop(peer);
        lab.daemon.disconnected();
        lab.broker.restart();
        peer = lab.peer();
        // Before our client is back, after it, or meanwhile.
        thread::sleep(Duration::from_millis(round * 60));
        peer.offer("hostapd.early");
        let id = peer.offer("network.interface");
        lab.daemon.connected();
        lab.daemon.object("network.interface", true);
        lab.daemon.object("hostapd.early", true);
        assert_eq!(peer.notify(id, "interface.update", &json!({"interface": "mesh"})), Some(0));
        assert_eq!(notification(&mut lab).0, "network.interface");
    }
    assert_eq!(lab.daemon.rest(), []);
}

fn subscribers_are_told_and_counted_by_whether(world: &World) {
    let mut lab = Lab::new(world);
    let notify = |lab: &mut Lab, number: u32| {
        let data = json!({"number": number}).as_object().expect("a table").clone();
        assert!(lab.daemon.send(Order::Notify { name: "client.attached", data }));
    };
    let subscribed = |lab: &mut Lab, wanted: bool| {
        lab.daemon.find("a subscription", LONG, |event| (*event == Event::Subscribed(wanted)).then_some(()));
    };
    notify(&mut lab, 1);
    let mut peer = lab.peer();
    peer.subscribe(NAME);
    subscribed(&mut lab, true);
    let mut second = lab.peer();
    second.subscribe(NAME);
    notify(&mut lab, 2);
    for peer in [&mut peer, &mut second] {
        let expected = json!({"number": 2});
        assert_eq!(
            peer.notification_within(LONG).map(|(name, data)| (name, Value::Object(data))),
            Some(("client.attached".into(), expected))
        );
    }
    drop(peer);
    drop(second);
    subscribed(&mut lab, false);
    lab.broker.kill();
    lab.daemon.disconnected();
    lab.broker.restart();
    lab.daemon.connected();
    let mut peer = lab.peer();
    peer.subscribe(NAME);
    subscribed(&mut lab, true);
    notify(&mut lab, 3);
    assert_eq!(
        peer.notification_within(LONG).map(|(_, data)| Value::Object(data)),
        Some(json!({"number": 3}))
    );
    assert_eq!(lab.daemon.rest(), []);
}
