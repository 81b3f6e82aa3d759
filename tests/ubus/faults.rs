//! A ubusd that misbehaves. No matter how, the client goes on, and tells the loop nothing that is not so.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use l3roamd::openwrt::ubus::{Event, Order, Status, Table, Ticket};
use serde_json::{Value, json};
use ubus::envelope::{EnvBuilder, UbusAttr, find};
use ubus::wire::{Codec, Frame, HEADER_SIZE, MsgType};

use crate::Test;
use crate::lab::{Daemon, LONG, NAME, Place, World};
use crate::peer;

pub const TESTS: &[Test] = &[
    ("a connection that is lost inside a question is begun anew", a_connection_lost_inside_a_question),
    ("an object that is refused is offered again", an_object_that_is_refused_is_offered_again),
    ("replies that are late or missing are one timeout", replies_that_are_late_or_missing_are_one_timeout),
    ("events in any order end in the truth", events_in_any_order_end_in_the_truth),
    (
        "calls during a question are heard once and in order",
        calls_during_a_question_are_heard_once_and_in_order,
    ),
    ("a reply without data is an empty table", a_reply_without_data_is_an_empty_table),
    ("arguments that are no blobmsg are refused", arguments_that_are_no_blobmsg_are_refused),
];

/// Tests of the embedded client alone: libubus itself waits for ever for the rest of such messages.
pub const EMBEDDED: &[Test] = &[("no bytes end the client", no_bytes_end_the_client)];

/// The number of our object at this broker, and of the first object without a name.
const OURS: u32 = 0x8000_0001;

/// Another client.
const SOMEBODY: u32 = 77;

struct Liar {
    listener: UnixListener,
    daemon: Daemon,
    _place: Place,
}

struct Link {
    stream: UnixStream,
    input: Vec<u8>,
    next: u32,
    /// Objects that a lookup finds.
    objects: Vec<(u32, &'static str)>,
}

impl Liar {
    fn new(world: &World) -> Self {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).expect("a socket");
        let daemon = Daemon::start(world.carrier, place.socket());
        Self { listener, daemon, _place: place }
    }

    fn accept(&self) -> Link {
        let (stream, _) = self.listener.accept().expect("the client");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let mut link = Link { stream, input: Vec::new(), next: OURS, objects: Vec::new() };
        link.send(MsgType::Hello, 0, 4242, EnvBuilder::new());
        link
    }
}

impl Link {
    fn send(&mut self, kind: MsgType, sequence: u16, peer: u32, envelope: EnvBuilder) {
        let frame = Frame::to_peer(kind, sequence, peer, envelope.finish());
        let _ = self.stream.write_all(&Codec::write_frame(&frame));
    }

    fn status(&mut self, frame: &Frame, code: u32) {
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::Status, code);
        self.send(MsgType::Status, frame.hdr.seq, frame.hdr.peer, envelope);
    }

    fn data(&mut self, frame: &Frame, envelope: EnvBuilder) {
        self.send(MsgType::Data, frame.hdr.seq, frame.hdr.peer, envelope);
    }

    /// Sends an INVOKE: a call, a notification or an event, depending on the object.
    fn invoke(&mut self, object: u32, sequence: u16, peer: u32, method: &str, data: &[u8]) {
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::ObjId, object);
        envelope.push_str(UbusAttr::Method, method);
        envelope.push_data(data);
        self.send(MsgType::Invoke, sequence, peer, envelope);
    }

    fn event(&mut self, listener: u32, name: &str, id: u32, path: &str) {
        let data = peer::table(&json!({"id": id as i32, "path": path}));
        self.invoke(listener, 1, 0, name, data.contents());
    }

    /// Answers as ubusd does until nothing has come for a time, but not for ever, or until the
    /// filter, which sees every message first and takes those for which it says so, ends it.
    fn serve(&mut self, time: Duration, mut filter: impl FnMut(&mut Self, &Frame) -> Verdict) {
        let begin = Instant::now();
        let mut last = begin;
        while last.elapsed() < time && begin.elapsed() < time + Duration::from_secs(5) {
            let Some(frame) = self.next_frame() else { continue };
            last = Instant::now();
            match filter(self, &frame) {
                Verdict::Usual => self.usual(&frame),
                Verdict::Taken => {}
                Verdict::End => return,
            }
        }
    }

    fn next_frame(&mut self) -> Option<Frame> {
        if self.input.len() >= HEADER_SIZE + 4 {
            if let Ok((frame, length)) = Codec::read_frame(&self.input) {
                self.input.drain(..length);
                return Some(frame);
            }
        }
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(length) => self.input.extend_from_slice(&chunk[..length]),
            Err(error) => assert!(matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionReset
            )),
        }
        None
    }

    fn usual(&mut self, frame: &Frame) {
        let mut envelope = EnvBuilder::new();
        match frame.hdr.ty {
            MsgType::AddObject => {
                envelope.push_u32(UbusAttr::ObjId, self.next);
                // Without a path there is no type, and libubus would fall over one.
                if find(&frame.payload, UbusAttr::ObjPath).is_some() {
                    envelope.push_u32(UbusAttr::ObjType, 5);
                }
                self.next += 1;
                self.data(frame, envelope);
            }
            MsgType::RemoveObject => {
                envelope.push_u32(UbusAttr::ObjId, number(frame, UbusAttr::ObjId));
                self.data(frame, envelope);
            }
            MsgType::Lookup => {
                let wanted =
                    find(&frame.payload, UbusAttr::ObjPath).and_then(|path| path.as_str().map(str::to_owned));
                let wanted = wanted.expect("a path");
                let found: Vec<_> = self
                    .objects
                    .iter()
                    .copied()
                    .filter(|(_, path)| {
                        wanted.strip_suffix('*').map_or(*path == wanted, |start| path.starts_with(start))
                    })
                    .collect();
                for (id, path) in &found {
                    let mut envelope = EnvBuilder::new();
                    envelope.push_str(UbusAttr::ObjPath, path);
                    envelope.push_u32(UbusAttr::ObjId, *id);
                    envelope.push_u32(UbusAttr::ObjType, 5);
                    self.data(frame, envelope);
                }
                return self.status(frame, if found.is_empty() { 4 } else { 0 });
            }
            MsgType::Status | MsgType::Data | MsgType::Notify => return,
            _ => {}
        }
        self.status(frame, 0);
    }

    /// Serves until nothing has been asked for a while.
    fn settle(&mut self) {
        self.serve(Duration::from_millis(500), |_, _| Verdict::Usual);
    }
}

enum Verdict {
    Usual,
    Taken,
    End,
}

fn number(frame: &Frame, attribute: UbusAttr) -> u32 {
    find(&frame.payload, attribute).and_then(|attribute| attribute.as_u32()).unwrap_or(0)
}

fn a_connection_lost_inside_a_question(world: &World) {
    let mut liar = Liar::new(world);
    for question in [MsgType::AddObject, MsgType::Invoke, MsgType::Lookup, MsgType::Subscribe] {
        let mut link = liar.accept();
        link.objects.push((9, "network.interface"));
        link.serve(LONG, |_, frame| if frame.hdr.ty == question { Verdict::End } else { Verdict::Usual });
        drop(link);
        if question != MsgType::AddObject {
            liar.daemon.connected();
            liar.daemon.disconnected();
        }
        assert_eq!(liar.daemon.rest(), [], "lost inside {question:?}");
    }
    let mut link = liar.accept();
    link.settle();
    liar.daemon.connected();
    // And half of a message.
    link.stream.write_all(&[0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 7]).expect("half a message");
    drop(link);
    liar.daemon.disconnected();
    liar.accept().settle();
    liar.daemon.connected();
}

fn an_object_that_is_refused_is_offered_again(world: &World) {
    let mut liar = Liar::new(world);
    for status in [6, 2, 0] {
        let mut link = liar.accept();
        link.serve(LONG, |link, frame| {
            if frame.hdr.ty != MsgType::AddObject {
                return Verdict::Usual;
            }
            let path =
                find(&frame.payload, UbusAttr::ObjPath).and_then(|path| path.as_str().map(str::to_owned));
            assert_eq!(path.as_deref(), Some(NAME), "our object comes first");
            // The last refusal is a success without a number.
            link.status(frame, status);
            Verdict::End
        });
        assert_eq!(liar.daemon.rest(), []);
    }
    liar.accept().settle();
    liar.daemon.connected();
}

fn call(liar: &mut Liar, ticket: u32) {
    let order = Order::Call {
        ticket: Ticket(ticket),
        path: "network.interface".into(),
        method: "dump",
        arguments: Table::new(),
    };
    assert!(liar.daemon.send(order));
}

fn replies_that_are_late_or_missing_are_one_timeout(world: &World) {
    let mut liar = Liar::new(world);
    let mut link = liar.accept();
    link.objects.push((9, "network.interface"));
    link.settle();
    liar.daemon.object("network.interface", true);
    call(&mut liar, 1);
    call(&mut liar, 2);
    let mut calls = Vec::new();
    link.serve(LONG, |_, frame| {
        calls.push(frame.clone());
        if calls.len() == 2 { Verdict::End } else { Verdict::Taken }
    });
    link.serve(Duration::from_millis(5500), |_, _| Verdict::Usual);
    assert_eq!(liar.daemon.reply(1), Err(Status::Timeout));
    assert_eq!(liar.daemon.reply(2), Err(Status::Timeout));
    link.status(&calls[0], 0);
    call(&mut liar, 3);
    link.serve(LONG, |link, frame| {
        // One that was never asked for, and one twice.
        let mut other = frame.clone();
        other.hdr.seq = other.hdr.seq.wrapping_add(100);
        link.status(&other, 0);
        link.status(frame, 4);
        link.status(frame, 0);
        Verdict::End
    });
    assert_eq!(liar.daemon.reply(3), Err(Status::NotFound));
    link.settle();
    assert_eq!(liar.daemon.rest(), [Event::Connected]);
}

fn events_in_any_order_end_in_the_truth(world: &World) {
    let mut liar = Liar::new(world);
    let mut link = liar.accept();
    link.settle();
    liar.daemon.connected();
    let listener = OURS + 1;
    let path = "hostapd.ap0";
    // Gone before it came; came twice; another's; gone under another number; came anew without having gone.
    link.event(listener, "ubus.object.remove", 20, path);
    link.event(listener, "ubus.object.add", 20, path);
    link.event(listener, "ubus.object.add", 20, path);
    link.event(listener, "ubus.object.add", 22, "hostap");
    link.event(listener, "ubus.object.remove", 19, path);
    link.event(listener, "nonsense", 20, path);
    link.invoke(listener, 1, 0, "ubus.object.add", &[1, 2, 3]);
    link.settle();
    liar.daemon.object(path, true);
    assert_eq!(liar.daemon.rest(), []);
    link.event(listener, "ubus.object.add", 21, path);
    link.settle();
    liar.daemon.object(path, false);
    liar.daemon.object(path, true);
    // The old subscription speaks no more, an unknown one never did.
    let data = peer::table(&json!({"a": 1}));
    link.invoke(OURS + 2, 5, SOMEBODY, "assoc", data.contents());
    link.invoke(OURS + 50, 6, SOMEBODY, "assoc", data.contents());
    let mut gone = EnvBuilder::new();
    gone.push_u32(UbusAttr::ObjId, OURS + 2);
    gone.push_u32(UbusAttr::Target, 20);
    link.send(MsgType::Unsubscribe, 7, 0, gone);
    link.invoke(OURS + 3, 8, SOMEBODY, "assoc", data.contents());
    link.settle();
    liar.daemon
        .find("a notification", LONG, |event| matches!(event, Event::Notification { .. }).then_some(()));
    assert_eq!(liar.daemon.rest(), []);
    link.event(listener, "ubus.object.remove", 21, path);
    link.settle();
    liar.daemon.object(path, false);
    assert_eq!(liar.daemon.rest(), []);
}

fn calls_during_a_question_are_heard_once_and_in_order(world: &World) {
    let mut liar = Liar::new(world);
    let mut link = liar.accept();
    let mut sent = 0;
    link.serve(Duration::from_millis(500), |link, frame| {
        if matches!(frame.hdr.ty, MsgType::Invoke | MsgType::Lookup) {
            // While it waits for ubusd.
            for _ in 0..3 {
                sent += 1;
                let data = peer::table(&json!({"number": sent}));
                link.invoke(OURS, 100 + sent, SOMEBODY, "echo", data.contents());
            }
        }
        Verdict::Usual
    });
    assert!(sent >= 6);
    for number in 1..=sent {
        let (id, _, arguments) = liar.daemon.call();
        assert_eq!(Value::Object(arguments), json!({"number": number}));
        liar.daemon.answer(id, Err(Status::NoData));
    }
    let mut answered = Vec::new();
    link.serve(Duration::from_millis(500), |_, frame| {
        if frame.hdr.ty == MsgType::Status && frame.hdr.peer == SOMEBODY {
            answered.push(frame.hdr.seq);
        }
        Verdict::Usual
    });
    assert_eq!(answered, (101..=100 + sent).collect::<Vec<_>>());
}

fn a_reply_without_data_is_an_empty_table(world: &World) {
    let mut liar = Liar::new(world);
    let mut link = liar.accept();
    link.objects.push((9, "network.interface"));
    link.settle();
    call(&mut liar, 1);
    link.settle();
    assert_eq!(liar.daemon.reply(1), Ok(Table::new()));
}

fn arguments_that_are_no_blobmsg_are_refused(world: &World) {
    let mut liar = Liar::new(world);
    let mut link = liar.accept();
    link.settle();
    let junk: [&[u8]; 3] =
        [&[0x83, 0, 0, 9, 0, 1, b'a', 0, b'x', 0, 0, 0], &[0xff; 16], &[0x82, 0, 1, 0, 0, 0, 0, 0]];
    for (sequence, bytes) in (1..).zip(junk) {
        link.invoke(OURS, sequence, SOMEBODY, "echo", bytes);
    }
    let mut answers = Vec::new();
    link.serve(Duration::from_millis(500), |_, frame| {
        answers.push((frame.hdr.seq, number(frame, UbusAttr::Status)));
        Verdict::Usual
    });
    assert_eq!(answers, [(1, 2), (2, 2), (3, 2)]);
    liar.daemon.connected();
    assert_eq!(liar.daemon.rest(), []);
}

fn no_bytes_end_the_client(world: &World) {
    let mut liar = Liar::new(world);
    let mut seed = 1_u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as u8
    };
    for round in 0..40 {
        let mut link = liar.accept();
        link.serve(Duration::from_millis(50), |_, _| Verdict::Usual);
        for _ in 0..20 {
            // A header that is one, and what nobody would send.
            let length = usize::from(random()) * 4 % 200 + 4;
            let mut bytes =
                vec![0, if round % 2 == 0 { random() } else { random() % 14 }, 0, 1, 0, 0, 0, SOMEBODY as u8];
            bytes.extend([0, 0, 0, if round % 4 == 3 { random() } else { length as u8 }]);
            bytes.extend((4..length).map(|_| if random() % 3 == 0 { random() % 16 } else { 0 }));
            let _ = link.stream.write_all(&bytes);
        }
        link.serve(Duration::from_millis(20), |_, _| Verdict::Usual);
    }
    let _ = liar.daemon.rest();
    let mut link = liar.accept();
    link.settle();
    liar.daemon.connected();
    link.invoke(OURS, 9, SOMEBODY, "nonsense", &[]);
    let mut answer = None;
    link.serve(LONG, |_, frame| {
        answer = Some((frame.hdr.seq, number(frame, UbusAttr::Status)));
        Verdict::End
    });
    assert_eq!(answer, Some((9, 3)));
}
