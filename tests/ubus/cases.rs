//! Calls in both directions, and what happens to them when ubusd goes.

use std::thread;
use std::time::{Duration, Instant};

use l3roamd::openwrt::ubus::{CallId, Event, Order, Status, Table, Ticket};
use serde_json::{Value, json};
use ubus::blobmsg::{BlobBuilder, BlobMsgTable};

use crate::Test;
use crate::lab::{Daemon, LONG, Lab, NAME, World};
use crate::peer;

pub const TESTS: &[Test] = &[
    ("the object is listed with its signatures", the_object_is_listed_with_its_signatures),
    ("arguments and replies survive", arguments_and_replies_survive),
    ("every integer and bad text arrive", every_integer_and_bad_text_arrive),
    ("an error is passed on", an_error_is_passed_on),
    ("replies come in any order", replies_come_in_any_order),
    ("unknown methods are refused at once", unknown_methods_are_refused_at_once),
    ("a hundred callers at a time are served", a_hundred_callers_at_a_time_are_served),
    ("too many waiting callers are refused", too_many_waiting_callers_are_refused),
    ("a reply that is too long is an error", a_reply_that_is_too_long_is_an_error),
    ("our calls are answered once", our_calls_are_answered_once),
    ("ten restarts of the broker bring the object back", ten_restarts_of_the_broker_bring_the_object_back),
    ("replies to calls of a lost connection go nowhere", replies_to_calls_of_a_lost_connection_go_nowhere),
    ("a stopped broker stops nobody", a_stopped_broker_stops_nobody),
    ("a caller that never reads stops nobody", a_caller_that_never_reads_stops_nobody),
    ("a loop that is late loses no call", a_loop_that_is_late_loses_no_call),
    ("the end leaves nobody waiting", the_end_leaves_nobody_waiting),
    ("signals keep their meaning", signals_keep_their_meaning),
];

fn the_object_is_listed_with_its_signatures(world: &World) {
    let lab = Lab::new(world);
    let objects = lab.peer().client().lookup_objects(Some("l3*")).expect("a list");
    let [object] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!(object.path, NAME);
    let names: Vec<_> =
        ubus::BlobIter::new(&object.signature).map(|item| item.name.map(str::to_owned)).collect();
    assert_eq!(names, [Some("echo".into()), Some("defer".into())], "in the order of the specification");
    let signature = Value::Object(peer::json(&object.signature));
    assert_eq!(
        signature,
        json!({"echo": {"text": 3, "number": 5, "flag": 7, "list": 1, "table": 2}, "defer": {}})
    );
}

/// Calls from a thread of its own.
fn caller(lab: &Lab, method: &'static str, arguments: Value) -> thread::JoinHandle<Result<Table, i32>> {
    let mut peer = lab.peer();
    thread::spawn(move || peer.call(NAME, method, &arguments))
}

fn arguments_and_replies_survive(world: &World) {
    let mut lab = Lab::new(world);
    let arguments = json!({
        "text": "grün", "empty": "", "number": -7, "wide": 5_000_000_000_i64, "least": i64::MIN, "flag": true, "no": false,
        "double": 0.125, "list": [1, "two", [3.5, {"four": 4}], {}], "table": {"deep": {"deeper": ["x", {"y": []}]}},
    });
    let caller = caller(&lab, "echo", arguments.clone());
    lab.daemon.echo(1);
    assert_eq!(caller.join().expect("a caller").map(Value::Object), Ok(arguments));
}

fn every_integer_and_bad_text_arrive(world: &World) {
    let mut lab = Lab::new(world);
    // As blobmsg has it: INT16 and text that is no UTF-8 are beyond ubus-zero's builder.
    let mut bytes = BlobBuilder::new();
    bytes.put_i64(Some("wide"), 7);
    bytes.put_i32(Some("narrow"), 7);
    let mut bytes = bytes.finish();
    bytes.extend([0x86, 0, 0, 10, 0, 1, b'i', 0, 0xff, 0xfe, 0, 0]);
    bytes.extend([0x83, 0, 0, 11, 0, 1, b's', 0, 0xff, b'x', 0, 0]);
    let mut peer = lab.peer();
    let id = peer.lookup(NAME).expect("the object");
    let caller = thread::spawn(move || peer.call_bytes(id, "echo", &bytes));
    let (id, _, arguments) = lab.daemon.call();
    assert_eq!(Value::Object(arguments), json!({"wide": 7, "narrow": 7, "i": -2, "s": "\u{fffd}x"}));
    lab.daemon.answer(id, Ok(json!({})));
    assert_eq!(caller.join().expect("a caller"), Ok(Table::new()));
}

fn an_error_is_passed_on(world: &World) {
    let mut lab = Lab::new(world);
    for status in [Status::InvalidArgument, Status::NotFound, Status::NotSupported, Status::Unknown(200)] {
        let caller = caller(&lab, "echo", json!({}));
        let (id, ..) = lab.daemon.call();
        lab.daemon.answer(id, Err(status));
        assert_eq!(caller.join().expect("a caller"), Err(status.code() as i32));
    }
}

fn replies_come_in_any_order(world: &World) {
    let mut lab = Lab::new(world);
    let first = caller(&lab, "defer", json!({"number": 1}));
    let second = caller(&lab, "defer", json!({"number": 2}));
    let mut calls = [lab.daemon.call(), lab.daemon.call()];
    calls.sort_by_key(|(.., arguments)| arguments["number"].as_i64());
    for (id, method, arguments) in calls.into_iter().rev() {
        assert_eq!(method, 1);
        lab.daemon.answer(id, Ok(json!({"was": arguments["number"]})));
        // A second reply has nobody to go to.
        lab.daemon.answer(id, Ok(json!({"was": "again"})));
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(first.join().expect("a caller").map(Value::Object), Ok(json!({"was": 1})));
    assert_eq!(second.join().expect("a caller").map(Value::Object), Ok(json!({"was": 2})));
}

fn unknown_methods_are_refused_at_once(world: &World) {
    let lab = Lab::new(world);
    assert_eq!(lab.peer().call(NAME, "nonsense", &json!({})), Err(3));
}

fn a_hundred_callers_at_a_time_are_served(world: &World) {
    let mut lab = Lab::new(world);
    let callers: Vec<_> = (0..100).map(|number| caller(&lab, "echo", json!({"number": number}))).collect();
    // All wait before the first is served.
    let calls: Vec<_> = (0..100).map(|_| lab.daemon.call()).collect();
    for (id, _, arguments) in calls.into_iter().rev() {
        lab.daemon.answer(id, Ok(Value::Object(arguments)));
    }
    for (number, caller) in callers.into_iter().enumerate() {
        assert_eq!(caller.join().expect("a caller").map(Value::Object), Ok(json!({"number": number})));
    }
}

fn too_many_waiting_callers_are_refused(world: &World) {
    let mut lab = Lab::new(world);
    let mut peer = lab.peer();
    let mut other = lab.peer();
    let id = peer.lookup(NAME).expect("the object");
    for client in [&mut peer, &mut other] {
        for _ in 0..200 {
            client.client().send_invoke(id, "defer", &BlobMsgTable::empty()).expect("a call");
        }
    }
    let mut refused = 0;
    let refusal = |frame: &ubus::wire::Frame| {
        (frame.hdr.ty == ubus::MsgType::Status && frame.hdr.peer == id).then_some(())
    };
    for client in [&mut peer, &mut other] {
        while client.next_frame(Duration::from_secs(3), refusal).is_some() {
            refused += 1;
        }
    }
    assert_eq!(refused, 400 - 256);
    let waiting: Vec<_> = (0..256).map(|_| lab.daemon.call()).collect();
    for (id, ..) in waiting {
        while !lab.daemon.send(Order::Reply { id, outcome: Ok(Table::new()) }) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let caller = caller(&lab, "echo", json!({"number": 1}));
    lab.daemon.echo(1);
    assert!(caller.join().expect("a caller").is_ok());
}

fn a_reply_that_is_too_long_is_an_error(world: &World) {
    let mut lab = Lab::new(world);
    for (length, expected) in [(1_000_000, Ok(1_000_000)), (1_100_000, Err(9)), (10, Ok(10))] {
        let caller = caller(&lab, "echo", json!({}));
        let (id, ..) = lab.daemon.call();
        lab.daemon.answer(id, Ok(json!({"text": "x".repeat(length)})));
        let reply = caller.join().expect("a caller");
        assert_eq!(reply.map(|table| table["text"].as_str().expect("text").len()), expected);
    }
}

fn order_call(daemon: &mut Daemon, ticket: u32, path: &str, method: &'static str) -> bool {
    let arguments = json!({"asked": ticket}).as_object().expect("a table").clone();
    daemon.send(Order::Call { ticket: Ticket(ticket), path: path.into(), method, arguments })
}

fn our_calls_are_answered_once(world: &World) {
    let mut lab = Lab::new(world);
    let mut other = lab.peer();
    let object = other.offer("other");
    let begin = Instant::now();
    assert!(order_call(&mut lab.daemon, 1, "other", "echo"));
    assert!(order_call(&mut lab.daemon, 2, "other", "defer"));
    assert!(order_call(&mut lab.daemon, 3, "nobody", "echo"));
    assert!(order_call(&mut lab.daemon, 4, "other", "nonsense"));
    let calls: Vec<_> = (0..3).map(|_| other.called().expect("a call")).collect();
    let [echo, defer, nonsense] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((echo.1.as_str(), Value::Object(echo.2.clone())), ("echo", json!({"asked": 1})));
    other.refuse(object, nonsense.0, 3);
    other.reply(object, echo.0, &json!({"answer": [1, 2]}));
    assert_eq!(lab.daemon.reply(1).map(Value::Object), Ok(json!({"answer": [1, 2]})));
    assert_eq!(lab.daemon.reply(3), Err(Status::NotFound));
    assert_eq!(lab.daemon.reply(4), Err(Status::MethodNotFound));
    // The reply that never comes, and comes when nobody wants it any more.
    assert_eq!(lab.daemon.reply(2), Err(Status::Timeout));
    assert!(begin.elapsed() > Duration::from_secs(3), "{:?}", begin.elapsed());
    other.reply(object, defer.0, &json!({}));
    assert!(order_call(&mut lab.daemon, 5, "other", "echo"));
    let (caller, ..) = other.called().expect("a call");
    other.reply(object, caller, &json!({}));
    assert!(lab.daemon.reply(5).is_ok());
    assert_eq!(lab.daemon.rest(), [], "one reply for each");
    // One that waits when the connection is lost.
    assert!(order_call(&mut lab.daemon, 6, "other", "defer"));
    assert!(other.called().is_some());
    lab.broker.kill();
    lab.daemon.disconnected();
    assert_eq!(lab.daemon.reply(6), Err(Status::ConnectionFailed));
    assert!(order_call(&mut lab.daemon, 7, "other", "defer"));
    assert_eq!(lab.daemon.reply(7), Err(Status::ConnectionFailed));
}

fn ten_restarts_of_the_broker_bring_the_object_back(world: &World) {
    let mut lab = Lab::new(world);
    let mut longest = Duration::ZERO;
    for round in 0..10 {
        lab.broker.kill();
        lab.daemon.disconnected();
        // ubusd is away for a moment, and once for longer.
        thread::sleep(Duration::from_millis(if round == 5 { 1500 } else { 30 }));
        lab.broker.restart();
        let (_, time) = lab.peer().await_object(NAME);
        longest = longest.max(time);
        lab.daemon.connected();
        let caller = caller(&lab, "echo", json!({"number": round}));
        lab.daemon.echo(1);
        assert!(caller.join().expect("a caller").is_ok());
    }
    println!("measure: object back after a restart of ubusd: at most {} ms", longest.as_millis());
    assert!(longest <= Duration::from_secs(10), "{longest:?}");
}

fn replies_to_calls_of_a_lost_connection_go_nowhere(world: &World) {
    let mut lab = Lab::new(world);
    let mut peer = lab.peer();
    let id = peer.lookup(NAME).expect("the object");
    peer.client().send_invoke(id, "defer", &BlobMsgTable::empty()).expect("a call");
    let (old, ..) = lab.daemon.call();
    lab.broker.kill();
    lab.daemon.disconnected();
    lab.daemon.answer(old, Ok(json!({})));
    lab.broker.restart();
    lab.daemon.connected();
    lab.daemon.answer(old, Ok(json!({})));
    let caller = caller(&lab, "echo", json!({"number": 1}));
    let (id, ..) = lab.daemon.call();
    assert_ne!(id, old, "a number is used once");
    lab.daemon.answer(old, Err(Status::NoData));
    lab.daemon.answer(id, Ok(json!({"right": true})));
    assert_eq!(caller.join().expect("a caller").map(Value::Object), Ok(json!({"right": true})));
}

fn a_stopped_broker_stops_nobody(world: &World) {
    let mut lab = Lab::new(world);
    lab.peer().subscribe_for_ever(NAME);
    let caller = caller(&lab, "defer", json!({}));
    let (id, ..) = lab.daemon.call();
    lab.broker.signal("STOP");
    let begin = Instant::now();
    let mut lost = 0;
    for number in 0..3000_u32 {
        let data = json!({"text": "x".repeat(1000)}).as_object().expect("a table").clone();
        let order = match number % 50 {
            0 => Order::Call { ticket: Ticket(number), path: "nobody".into(), method: "x", arguments: data },
            _ => Order::Notify { name: "test", data },
        };
        let before = Instant::now();
        lost += u32::from(!lab.daemon.send(order));
        assert!(before.elapsed() < Duration::from_secs(3), "sending blocks");
    }
    thread::sleep(Duration::from_secs(4));
    println!("measure: orders lost while ubusd was stopped: {lost} of 3000, {:?}", begin.elapsed());
    lab.broker.signal("CONT");
    while !lab.daemon.send(Order::Reply { id, outcome: Ok(Table::new()) }) {
        thread::sleep(Duration::from_millis(1));
    }
    lab.peer().await_object(NAME);
    // Whether the connection survived or not: it works.
    let _ = caller.join();
    let caller = self::caller(&lab, "echo", json!({"number": 1}));
    lab.daemon.echo(1);
    assert!(caller.join().expect("a caller").is_ok());
}

fn a_caller_that_never_reads_stops_nobody(world: &World) {
    let mut lab = Lab::new(world);
    let mut deaf = lab.peer();
    let id = deaf.lookup(NAME).expect("the object");
    lab.peer().subscribe_for_ever(NAME);
    for _ in 0..100 {
        deaf.client().send_invoke(id, "echo", &BlobMsgTable::empty()).expect("a call");
    }
    let calls: Vec<CallId> = (0..100).map(|_| lab.daemon.call().0).collect();
    for some in calls.chunks(8) {
        for id in some {
            let data = json!({"text": "x".repeat(100_000)}).as_object().expect("a table").clone();
            while !lab.daemon.send(Order::Reply { id: *id, outcome: Ok(data.clone()) }) {
                thread::sleep(Duration::from_millis(1));
            }
            lab.daemon.send(Order::Notify { name: "test", data });
        }
        // The crate's ubusd ends a connection of which it reads 2 MiB at once: it has read all when this is answered.
        let caller = caller(&lab, "echo", json!({"number": 1}));
        lab.daemon.echo(1);
        assert!(caller.join().expect("a caller").is_ok());
    }
    let caller = caller(&lab, "echo", json!({"number": 1}));
    lab.daemon.echo(1);
    assert!(caller.join().expect("a caller").is_ok());
    assert_eq!(lab.daemon.rest().iter().filter(|event| **event == Event::Disconnected).count(), 0);
}

fn a_loop_that_is_late_loses_no_call(world: &World) {
    let mut lab = Lab::new(world);
    let mut peer = lab.peer();
    // More than the channel takes.
    let subscriber = peer.client().add_anonymous_object().expect("an object");
    let target = peer.lookup(NAME).expect("the object");
    for _ in 0..500 {
        peer.client().subscribe(subscriber, target).expect("a subscription");
        peer.client().unsubscribe(subscriber, target).expect("none");
    }
    let caller = caller(&lab, "echo", json!({"number": 1}));
    thread::sleep(Duration::from_millis(300));
    lab.daemon.echo(1);
    assert!(caller.join().expect("a caller").is_ok());
    let told = lab.daemon.rest().into_iter().filter(|event| matches!(event, Event::Subscribed(_))).count();
    assert_eq!(told, 1000);
}

fn the_end_leaves_nobody_waiting(world: &World) {
    let mut lab = Lab::new(world);
    let waiting = caller(&lab, "defer", json!({}));
    let answered = caller(&lab, "echo", json!({}));
    let calls = [lab.daemon.call(), lab.daemon.call()];
    let (echo, ..) = calls.iter().find(|(_, method, _)| *method == 0).expect("both");
    lab.daemon.answer(*echo, Ok(json!({"text": "x".repeat(500_000)})));
    let mut peer = lab.peer();
    drop(lab.daemon);
    assert_eq!(waiting.join().expect("a caller"), Err(10));
    assert!(answered.join().expect("a caller").is_ok(), "an order that was given is carried out");
    let begin = Instant::now();
    while peer.lookup(NAME).is_some() {
        assert!(begin.elapsed() < LONG, "the object stays");
    }
}

fn signals_keep_their_meaning(world: &World) {
    // Who ignores and who catches; above 31 are those of the C library.
    let masks = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("proc");
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
            u64::from_str_radix(line.trim(), 16).expect("a number") & 0x7fff_ffff
        };
        (mask("SigIgn:"), mask("SigCgt:"))
    };
    let before = masks();
    let mut lab = Lab::new(world);
    assert_eq!(masks(), before);
    lab.broker.kill();
    lab.daemon.disconnected();
    lab.broker.restart();
    lab.daemon.connected();
    assert_eq!(masks(), before);
}
