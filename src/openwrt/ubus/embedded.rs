//! The client for systems without libubus: messages and envelopes of ubus-zero over a socket that never blocks.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ::ubus::UbusError;
use ::ubus::envelope::{EnvBuilder, UbusAttr, find};
use ::ubus::wire::{Codec, Frame, HEADER_SIZE, Header, MAX_MSG_LEN, MsgType, PROTO_VERSION};

use super::client::{Client, Found, Heard, Interest};
use super::{ObjectSpec, Status, blobmsg, sys};

/// Where ubusd listens, and where it did before OpenWrt 21.02.
const SOCKETS: [&str; 2] = ["/var/run/ubus/ubus.sock", "/var/run/ubus.sock"];

/// How long ubusd may take for an answer. It answers at once or is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it may take for the last one.
const FAREWELL: Duration = Duration::from_millis(200);

/// Notifications are dropped while more than this waits to be written.
const NOTIFY_BACKLOG: usize = 1 << 20;

/// With more than this waiting to be written ubusd is taken for dead. It has room for several of the longest replies.
const BACKLOG: usize = 8 << 20;

/// What one round of reading takes, so that it comes to an end.
const ROUND: usize = 256 * 1024;

/// ubusd's own object that hands out events.
const EVENTS: u32 = 1;

/// A connection to ubusd.
pub(super) struct Embedded {
    stream: UnixStream,
    /// Bytes that are not a whole message yet.
    input: Vec<u8>,
    output: VecDeque<u8>,
    lost: bool,
    patience: Duration,
    sequence: u16,
    methods: Vec<&'static str>,
    object: u32,
    listener: u32,
    subscriptions: Vec<u32>,
    calls: BTreeMap<(u16, u32), Call>,
    heard: VecDeque<Heard<Request>>,
}

/// A call of ours.
struct Call {
    key: u32,
    data: Vec<u8>,
}

/// Whom to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    peer: u32,
    sequence: u16,
}

impl Client for Embedded {
    type Request = Request;

    fn connect(socket: Option<&Path>) -> io::Result<Self> {
        let stream = match socket {
            Some(path) => sys::connect(path)?,
            None => sys::connect(Path::new(SOCKETS[0])).or_else(|_| sys::connect(Path::new(SOCKETS[1])))?,
        };
        let mut client = Self {
            stream,
            input: Vec::new(),
            output: VecDeque::new(),
            lost: false,
            patience: PATIENCE,
            sequence: 0,
            methods: Vec::new(),
            object: 0,
            listener: 0,
            subscriptions: Vec::new(),
            calls: BTreeMap::new(),
            heard: VecDeque::new(),
        };
        // ubusd greets whoever comes.
        match client.await_frame(|frame| frame.hdr.ty == MsgType::Hello) {
            Some(_) => Ok(client),
            None => Err(io::Error::from(ErrorKind::TimedOut)),
        }
    }

    fn offer(&mut self, spec: &ObjectSpec) -> Result<(), Status> {
        let mut envelope = EnvBuilder::new();
        envelope.push_str(UbusAttr::ObjPath, spec.name);
        envelope.push_signature(&blobmsg::signature(spec.methods).ok_or(Status::InvalidArgument)?);
        self.methods = spec.methods.iter().map(|method| method.name).collect();
        self.object = self.add_object(envelope)?;
        Ok(())
    }

    fn listen(&mut self, events: &[&str]) -> Result<(), Status> {
        self.listener = self.add_object(EnvBuilder::new())?;
        for event in events {
            let mut arguments = super::Table::new();
            // As a signed number of 32 bits, for ubusd checks the type.
            arguments.insert("object".into(), i32::from_ne_bytes(self.listener.to_ne_bytes()).into());
            arguments.insert("pattern".into(), (*event).into());
            let mut envelope = EnvBuilder::new();
            envelope.push_u32(UbusAttr::ObjId, EVENTS);
            envelope.push_str(UbusAttr::Method, "register");
            envelope.push_data(&blobmsg::encode(&arguments).ok_or(Status::InvalidArgument)?);
            self.request(MsgType::Invoke, EVENTS, envelope, |_| ())?;
        }
        Ok(())
    }

    fn lookup(&mut self, pattern: &str) -> Result<Vec<Found>, Status> {
        let mut envelope = EnvBuilder::new();
        envelope.push_str(UbusAttr::ObjPath, pattern);
        let mut all = Vec::new();
        self.request(MsgType::Lookup, 0, envelope, |frame| {
            if let (Some(id), Some(path)) = (number(frame, UbusAttr::ObjId), text(frame, UbusAttr::ObjPath)) {
                all.push(Found { id, path });
            }
        })?;
        Ok(all)
    }

    fn subscribe(&mut self, object: u32) -> Result<u32, Status> {
        // A notification names its subscriber and not its sender: a subscriber for each.
        let subscriber = self.add_object(EnvBuilder::new())?;
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::ObjId, subscriber);
        envelope.push_u32(UbusAttr::Target, object);
        self.subscriptions.push(subscriber);
        let result = self.request(MsgType::Subscribe, 0, envelope, |_| ());
        if result.is_err() {
            self.unsubscribe(subscriber);
        }
        result.map(|()| subscriber)
    }

    fn unsubscribe(&mut self, subscription: u32) {
        self.subscriptions.retain(|known| *known != subscription);
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::ObjId, subscription);
        self.sequence = self.sequence.wrapping_add(1);
        self.send(MsgType::RemoveObject, self.sequence, 0, envelope);
    }

    fn call(&mut self, key: u32, object: u32, method: &str, arguments: &[u8]) -> Result<(), Status> {
        let mut envelope = EnvBuilder::with_capacity(arguments.len() + 64);
        envelope.push_u32(UbusAttr::ObjId, object);
        envelope.push_str(UbusAttr::Method, method);
        envelope.push_data(arguments);
        self.sequence = self.sequence.wrapping_add(1);
        self.send(MsgType::Invoke, self.sequence, object, envelope);
        self.alive()?;
        self.calls.insert((self.sequence, object), Call { key, data: Vec::new() });
        Ok(())
    }

    fn abandon(&mut self, key: u32) {
        self.calls.retain(|_, call| call.key != key);
    }

    fn answer(&mut self, request: Request, outcome: Result<&[u8], Status>) {
        if let Ok(data) = outcome {
            let mut envelope = EnvBuilder::with_capacity(data.len() + 32);
            envelope.push_u32(UbusAttr::ObjId, self.object);
            envelope.push_data(data);
            self.send(MsgType::Data, request.sequence, request.peer, envelope);
        }
        self.send_status(request, self.object, outcome.map_or_else(Status::code, |_| 0));
    }

    fn notify(&mut self, name: &str, data: &[u8]) {
        if self.output.len() > NOTIFY_BACKLOG {
            return;
        }
        let mut envelope = EnvBuilder::with_capacity(data.len() + 64);
        envelope.push_u32(UbusAttr::ObjId, self.object);
        envelope.push_str(UbusAttr::Method, name);
        envelope.push_data(data);
        envelope.push_u8(UbusAttr::NoReply, 1);
        self.sequence = self.sequence.wrapping_add(1);
        self.send(MsgType::Notify, self.sequence, self.object, envelope);
    }

    fn work(&mut self) {
        self.flush();
        for frame in self.read() {
            self.handle(&frame);
        }
    }

    fn heard(&mut self) -> Option<Heard<Request>> {
        self.heard.pop_front()
    }

    fn is_lost(&self) -> bool {
        self.lost
    }

    fn interest(&self) -> Interest {
        Interest { fd: self.stream.as_raw_fd(), write: !self.output.is_empty() }
    }

    fn finish(mut self) {
        // ubusd forgets what it has not read of somebody who has gone; an answer says that it has.
        self.patience = FAREWELL;
        let _ = self.request(MsgType::Ping, 0, EnvBuilder::new(), |_| ());
    }
}

impl Embedded {
    fn alive(&self) -> Result<(), Status> {
        if self.lost { Err(Status::ConnectionFailed) } else { Ok(()) }
    }

    fn add_object(&mut self, envelope: EnvBuilder) -> Result<u32, Status> {
        let mut id = None;
        self.request(MsgType::AddObject, 0, envelope, |frame| id = number(frame, UbusAttr::ObjId).or(id))?;
        id.filter(|id| *id != 0).ok_or(Status::NoData)
    }

    /// Asks ubusd and waits for its answer. What else comes meanwhile is heard later.
    fn request(
        &mut self,
        kind: MsgType,
        peer: u32,
        envelope: EnvBuilder,
        mut data: impl FnMut(&Frame),
    ) -> Result<(), Status> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        self.send(kind, sequence, peer, envelope);
        let status = self.await_frame(|frame| {
            let ours = frame.hdr.seq == sequence && frame.hdr.peer == peer;
            if ours && frame.hdr.ty == MsgType::Data {
                data(frame);
            }
            ours && frame.hdr.ty == MsgType::Status
        });
        let status = status.ok_or(Status::ConnectionFailed)?;
        let code = number(&status, UbusAttr::Status).ok_or(Status::InvalidArgument)?;
        Status::from_code(code).map_or(Ok(()), Err)
    }

    /// Waits for a message. Without it in time the connection is lost.
    fn await_frame(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        let end = sys::now() + self.patience;
        let mut result = None;
        while result.is_none() && !self.lost {
            for frame in self.read() {
                if result.is_none() && wanted(&frame) {
                    result = Some(frame);
                } else {
                    self.handle(&frame);
                }
            }
            if result.is_none() && !self.wait_until(end) {
                self.lost = true;
            }
            self.flush();
        }
        result
    }

    /// Waits until there is something to do; false where the time is over.
    fn wait_until(&self, end: Instant) -> bool {
        let left = end.saturating_duration_since(sys::now());
        let Interest { fd, write } = self.interest();
        sys::wait(-1, Some((fd, write)), Some(left));
        !left.is_zero()
    }

    fn send_status(&mut self, request: Request, object: u32, code: u32) {
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::Status, code);
        envelope.push_u32(UbusAttr::ObjId, object);
        self.send(MsgType::Status, request.sequence, request.peer, envelope);
    }

    fn send(&mut self, kind: MsgType, sequence: u16, peer: u32, envelope: EnvBuilder) {
        let payload = envelope.finish();
        if self.lost || self.output.len().saturating_add(payload.len()) > BACKLOG {
            self.lost = true;
            return;
        }
        let header = Header { version: PROTO_VERSION, ty: kind, seq: sequence, peer };
        self.output.extend(header.encode());
        self.output.extend(payload);
        self.flush();
    }

    fn flush(&mut self) {
        while !self.output.is_empty() && !self.lost {
            match self.stream.write(self.output.as_slices().0) {
                Ok(0) => self.lost = true,
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted => {}
                    _ => self.lost = true,
                },
            }
        }
        // The longest reply was some time ago.
        if self.output.capacity() > 64 * 1024 && self.output.is_empty() {
            self.output = VecDeque::new();
        }
    }

    /// The messages that are there.
    fn read(&mut self) -> Vec<Frame> {
        let mut chunk = [0; 16 * 1024];
        let mut taken = 0;
        while taken < ROUND && !self.lost {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.lost = true,
                Ok(length) => {
                    taken += length;
                    self.input.extend_from_slice(chunk.get(..length).unwrap_or_default());
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => {}
                    _ => self.lost = true,
                },
            }
        }
        self.cut()
    }

    /// Cuts whole messages off the input. Those of an unknown kind are passed over, as libubus does.
    fn cut(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut rest = self.input.as_slice();
        // ubus-zero takes a header at the end of what it is given for a whole message.
        while rest.len() >= HEADER_SIZE + 4 {
            let length = match Codec::read_frame_borrowed(rest) {
                Ok((frame, length)) => {
                    frames.push(frame.to_owned());
                    length
                }
                Err(UbusError::UnknownType(_)) => match whole_length(rest) {
                    Some(length) => length,
                    None => break,
                },
                Err(UbusError::Short { .. }) => break,
                Err(_) => {
                    self.lost = true;
                    break;
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        if rest.len() >= HEADER_SIZE + 4
            && frame_length(rest).is_none_or(|length| length > HEADER_SIZE + MAX_MSG_LEN)
        {
            self.lost = true;
        }
        self.input = rest.to_vec();
        frames
    }

    fn handle(&mut self, frame: &Frame) {
        match frame.hdr.ty {
            MsgType::Invoke => self.invoked(frame),
            MsgType::Notify if number(frame, UbusAttr::ObjId) == Some(self.object) => {
                if let Some(active) = find(&frame.payload, UbusAttr::Active) {
                    self.heard.push_back(Heard::Subscribed(active.as_bool_int8()));
                }
            }
            MsgType::Unsubscribe => {
                let subscription = number(frame, UbusAttr::ObjId).unwrap_or(0);
                if self.subscriptions.contains(&subscription) {
                    self.heard.push_back(Heard::Unsubscribed { subscription });
                }
            }
            MsgType::Data => {
                let data = data(frame);
                if let (Some(call), Some(data)) = (self.calls.get_mut(&(frame.hdr.seq, frame.hdr.peer)), data)
                {
                    call.data = data;
                }
            }
            MsgType::Status => {
                if let Some(call) = self.calls.remove(&(frame.hdr.seq, frame.hdr.peer)) {
                    let code = number(frame, UbusAttr::Status).unwrap_or(Status::UnknownError.code());
                    let outcome = Status::from_code(code).map_or(Ok(call.data), Err);
                    self.heard.push_back(Heard::Reply { key: call.key, outcome });
                }
            }
            _ => {}
        }
    }

    /// A method is called, a notification or an event comes: the object that is named says which.
    fn invoked(&mut self, frame: &Frame) {
        let request = Request { peer: frame.hdr.peer, sequence: frame.hdr.seq };
        let object = number(frame, UbusAttr::ObjId).unwrap_or(0);
        let name = text(frame, UbusAttr::Method).unwrap_or_default();
        let (status, heard) = if object == 0 {
            (Some(Status::NotFound.code()), None)
        } else if object == self.object {
            match (self.methods.iter().position(|method| *method == name), data(frame)) {
                (Some(method), Some(arguments)) => (None, Some(Heard::Call { request, method, arguments })),
                (None, _) => (Some(Status::MethodNotFound.code()), None),
                (_, None) => (Some(Status::InvalidArgument.code()), None),
            }
        } else if object == self.listener {
            (None, Some(Heard::Event { name, data: data(frame).unwrap_or_default() }))
        } else if self.subscriptions.contains(&object) {
            let data = data(frame).unwrap_or_default();
            (Some(0), Some(Heard::Notification { subscription: object, name, data }))
        } else {
            (Some(Status::NotFound.code()), None)
        };
        let wanted =
            !find(&frame.payload, UbusAttr::NoReply).is_some_and(|attribute| attribute.as_bool_int8());
        if let Some(code) = status.filter(|_| wanted && request.peer != 0) {
            self.send_status(request, object, code);
        }
        self.heard.extend(heard);
    }
}

fn number(frame: &Frame, attribute: UbusAttr) -> Option<u32> {
    find(&frame.payload, attribute)?.as_u32()
}

fn text(frame: &Frame, attribute: UbusAttr) -> Option<String> {
    let bytes = find(&frame.payload, attribute)?.payload;
    Some(String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next()?).into_owned())
}

fn data(frame: &Frame) -> Option<Vec<u8>> {
    find(&frame.payload, UbusAttr::Data).map(|attribute| attribute.payload.to_vec())
}

/// The length that a message says it has, with its header. `None` where that is too short for one.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let header = u32::from_be_bytes(*bytes.get(HEADER_SIZE..)?.first_chunk()?);
    let length = usize::try_from(header & 0x00ff_ffff).ok()?;
    (length >= 4).then_some(HEADER_SIZE + length)
}

/// The same, where all of it is there.
fn whole_length(bytes: &[u8]) -> Option<usize> {
    frame_length(bytes).filter(|length| *length <= bytes.len())
}
