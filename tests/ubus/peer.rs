//! Another program on the bus, with the codec of ubus-zero: it calls, subscribes, and offers objects.

use std::path::Path;
use std::time::{Duration, Instant};

use l3roamd::openwrt::ubus::Table;
use serde_json::Value;
use ubus::blobmsg::BlobMsgTable;
use ubus::client::UbusClient;
use ubus::envelope::{EnvBuilder, UbusAttr, find};
use ubus::json::{blobmsg_to_json, json_to_blobmsg};
use ubus::unix::UnixUbusTransport;
use ubus::wire::{Frame, MsgType};
use ubus::{Transport, UbusError};

/// A connection.
pub struct Peer {
    client: UbusClient<UnixUbusTransport>,
    sequence: u16,
}

impl Peer {
    /// Connects.
    pub fn new(socket: &Path) -> Self {
        let transport = UnixUbusTransport::connect(socket.to_str().expect("a path")).expect("ubusd");
        Self { client: UbusClient::connect(transport).expect("a greeting"), sequence: 30_000 }
    }

    /// The client beneath.
    pub fn client(&mut self) -> &mut UbusClient<UnixUbusTransport> {
        &mut self.client
    }

    /// The number of an object.
    pub fn lookup(&mut self, path: &str) -> Option<u32> {
        self.client.lookup(path).ok()
    }

    /// Waits until an object is there. Gives its number, and how long that took.
    pub fn await_object(&mut self, path: &str) -> (u32, Duration) {
        let begin = Instant::now();
        loop {
            if let Some(id) = self.lookup(path) {
                return (id, begin.elapsed());
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{path} does not appear");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Calls a method.
    pub fn call(&mut self, path: &str, method: &str, arguments: &Value) -> Result<Table, i32> {
        let id = self.client.lookup(path).map_err(status)?;
        self.call_bytes(id, method, table(arguments).contents())
    }

    /// Calls a method with arguments that are blobmsg already.
    pub fn call_bytes(&mut self, id: u32, method: &str, arguments: &[u8]) -> Result<Table, i32> {
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::ObjId, id);
        envelope.push_str(UbusAttr::Method, method);
        envelope.push_data(arguments);
        let mut replies = Vec::new();
        let result = self.client.request(MsgType::Invoke, id, envelope, |frame| {
            replies.push(json(find(&frame.payload, UbusAttr::Data).expect("data").payload));
            Ok(())
        });
        assert!(replies.len() <= 1, "one reply");
        result.map(|()| replies.pop().unwrap_or_default()).map_err(status)
    }

    /// Offers an object without methods.
    pub fn offer(&mut self, path: &str) -> u32 {
        let mut envelope = EnvBuilder::new();
        envelope.push_str(UbusAttr::ObjPath, path);
        envelope.push_signature(&[]);
        let mut id = None;
        self.client
            .request(MsgType::AddObject, 0, envelope, |frame| {
                id = find(&frame.payload, UbusAttr::ObjId).and_then(|attribute| attribute.as_u32());
                Ok(())
            })
            .expect("an object");
        id.expect("a number")
    }

    /// Takes an object away.
    pub fn withdraw(&mut self, id: u32) {
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::ObjId, id);
        self.client.request(MsgType::RemoveObject, 0, envelope, |_| Ok(())).expect("a removal");
    }

    /// Notifies the subscribers of an object and waits for the answer of one of them, which is given.
    pub fn notify(&mut self, id: u32, name: &str, data: &Value) -> Option<u32> {
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::ObjId, id);
        envelope.push_str(UbusAttr::Method, name);
        envelope.push_data(table(data).contents());
        self.sequence += 1;
        let frame = Frame::to_peer(MsgType::Notify, self.sequence, id, envelope.finish());
        let sequence = self.sequence;
        self.client.transport_mut().send(&frame).expect("a notification");
        // First ubusd tells who is subscribed, then each subscriber answers.
        let mut subscribers = None;
        self.next_frame(Duration::from_secs(60), |frame| {
            if frame.hdr.ty != MsgType::Status || frame.hdr.seq != sequence {
                return None;
            }
            if subscribers.is_none() {
                let attribute = find(&frame.payload, UbusAttr::Subscribers).expect("a list of subscribers");
                subscribers = Some(attribute.payload.len());
                return (attribute.payload.is_empty()).then_some(None);
            }
            Some(find(&frame.payload, UbusAttr::Status).and_then(|attribute| attribute.as_u32()))
        })
        .expect("an answer to the notification")
    }

    /// Waits for a message.
    pub fn next_frame<T>(
        &mut self,
        time: Duration,
        mut wanted: impl FnMut(&Frame) -> Option<T>,
    ) -> Option<T> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            match self.client.recv_frame().expect("a connection") {
                Some(frame) => {
                    if let Some(result) = wanted(&frame) {
                        return Some(result);
                    }
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        None
    }

    /// Waits for a call of an object of ours. Gives its caller, method and arguments.
    pub fn called(&mut self) -> Option<((u32, u16), String, Table)> {
        self.next_frame(Duration::from_secs(60), |frame| {
            let name = find(&frame.payload, UbusAttr::Method)?.as_str()?.to_owned();
            let data =
                find(&frame.payload, UbusAttr::Data).map(|data| json(data.payload)).unwrap_or_default();
            (frame.hdr.ty == MsgType::Invoke).then_some(((frame.hdr.peer, frame.hdr.seq), name, data))
        })
    }

    /// Answers a call.
    pub fn reply(&mut self, object: u32, caller: (u32, u16), data: &Value) {
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::ObjId, object);
        envelope.push_data(table(data).contents());
        let frame = Frame::to_peer(MsgType::Data, caller.1, caller.0, envelope.finish());
        self.client.transport_mut().send(&frame).expect("a reply");
        self.refuse(object, caller, 0);
    }

    /// Answers a call with a status alone.
    pub fn refuse(&mut self, object: u32, caller: (u32, u16), status: u32) {
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::Status, status);
        envelope.push_u32(UbusAttr::ObjId, object);
        let frame = Frame::to_peer(MsgType::Status, caller.1, caller.0, envelope.finish());
        self.client.transport_mut().send(&frame).expect("a status");
    }

    /// Waits for a notification for a moment. Gives its name and data.
    #[allow(dead_code, reason = "of those who share this only tests/netns ends by it")]
    pub fn notification(&mut self) -> Option<(String, Table)> {
        self.notification_within(Duration::from_secs(3))
    }

    /// Waits for a notification. Gives its name and data.
    pub fn notification_within(&mut self, time: Duration) -> Option<(String, Table)> {
        self.next_frame(time, |frame| {
            let name = find(&frame.payload, UbusAttr::Method)?.as_str()?.to_owned();
            (frame.hdr.ty == MsgType::Invoke)
                .then(|| (name, json(find(&frame.payload, UbusAttr::Data).expect("data").payload)))
        })
    }

    /// Subscribes to an object and never reads again. The connection is left open until the process ends.
    pub fn subscribe_for_ever(mut self, path: &str) {
        self.subscribe(path);
        std::mem::forget(self);
    }

    /// Subscribes to an object.
    pub fn subscribe(&mut self, path: &str) {
        let target = self.client.lookup(path).expect("an object");
        let subscriber = self.client.add_anonymous_object().expect("an object");
        self.client.subscribe(subscriber, target).expect("a subscription");
    }
}

fn status(error: UbusError) -> i32 {
    match error {
        UbusError::Status(status) => status,
        other => panic!("{other}"),
    }
}

/// JSON as blobmsg.
pub fn table(value: &Value) -> BlobMsgTable {
    json_to_blobmsg(value).expect("a table")
}

/// blobmsg as JSON.
pub fn json(bytes: &[u8]) -> Table {
    match blobmsg_to_json(bytes) {
        Ok(Value::Object(table)) => table,
        other => panic!("{other:?}"),
    }
}
