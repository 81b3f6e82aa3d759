//! One connection to ubusd, from the object's registration to its loss: calls of both sides, subscriptions, orders.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::client::{Client, Found, Heard};
use super::outbox::Outbox;
use super::{CallId, Event, ObjectSpec, Order, Status, Table, Ticket, blobmsg, sys};

/// Calls from outside that wait for their reply. Further ones are refused.
const CALLS: usize = 256;

/// The longest arguments that a caller may pass, bytes of blobmsg.
const ARGUMENTS: usize = 64 * 1024;

/// How long a caller waits before it is told that no reply came. Longer than anything that a method waits for.
const CALL_TIME: Duration = Duration::from_secs(120);

/// Calls of ours that wait for their reply.
const OWN_CALLS: usize = 64;

/// How long we wait for a reply.
const OWN_CALL_TIME: Duration = Duration::from_secs(5);

/// Objects that are followed at a time.
const WATCHED: usize = 128;

const APPEARED: &str = "ubus.object.add";
const WENT: &str = "ubus.object.remove";

/// A connection on which our object stands.
pub(super) struct Session<C: Client> {
    client: C,
    spec: ObjectSpec,
    subscribed: bool,
    calls: BTreeMap<CallId, Waiting<C::Request>>,
    own_calls: BTreeMap<u32, OwnCall>,
    watched: BTreeMap<String, Watched>,
}

struct Waiting<R> {
    request: R,
    until: Instant,
}

struct OwnCall {
    ticket: Ticket,
    until: Instant,
}

struct Watched {
    object: u32,
    subscription: u32,
}

/// What outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    call: u32,
    key: u32,
    refused: u32,
}

impl<C: Client> Session<C> {
    /// Puts the object on the bus of a fresh connection, and follows those that are to be watched.
    ///
    /// # Errors
    /// Why the object cannot be offered, or that the connection is lost already.
    pub(super) fn open(mut client: C, spec: ObjectSpec, outbox: &mut Outbox) -> Result<Self, Status> {
        client.offer(&spec)?;
        let (calls, own_calls, watched) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut session = Self { client, spec, subscribed: false, calls, own_calls, watched };
        outbox.send(Event::Connected);
        if !spec.watched.is_empty() {
            // First the events, then what is there: nothing can appear between.
            if let Err(status) = session.client.listen(&[APPEARED, WENT]) {
                tracing::warn!(%status, "ubus: events of ubusd are refused, objects are looked for only once");
            }
            for pattern in spec.watched {
                for Found { id, path } in session.client.lookup(pattern).unwrap_or_default() {
                    session.appeared(id, path, outbox);
                }
            }
        }
        Ok(session)
    }

    /// The client, to wait for it.
    pub(super) fn client(&self) -> &C {
        &self.client
    }

    /// Carries out an order.
    pub(super) fn order(&mut self, order: Order, outbox: &mut Outbox, numbers: &mut Numbers) {
        match order {
            Order::Reply { id, outcome } => {
                if let Some(waiting) = self.calls.remove(&id) {
                    self.answer(waiting.request, &outcome);
                }
            }
            Order::Notify { name, data } => {
                if self.subscribed {
                    if let Some(data) = blobmsg::encode(&data) {
                        self.client.notify(name, &data);
                    }
                }
            }
            Order::Call { ticket, path, method, arguments } => {
                if let Err(status) = self.call(ticket, &path, method, &arguments, numbers) {
                    outbox.send(Event::Reply { ticket, outcome: Err(status) });
                }
            }
        }
    }

    fn answer(&mut self, request: C::Request, outcome: &Result<Table, Status>) {
        let data = match outcome {
            Ok(table) => blobmsg::encode(table).ok_or_else(|| {
                tracing::warn!(limit = blobmsg::LIMIT, "ubus: a reply is too long");
                Status::UnknownError
            }),
            Err(status) => Err(*status),
        };
        self.client.answer(request, data.as_deref().map_err(|status| *status));
    }

    fn call(
        &mut self,
        ticket: Ticket,
        path: &str,
        method: &str,
        arguments: &Table,
        numbers: &mut Numbers,
    ) -> Result<(), Status> {
        if self.own_calls.len() >= OWN_CALLS {
            return Err(Status::Timeout);
        }
        let arguments = blobmsg::encode(arguments).ok_or(Status::InvalidArgument)?;
        let object = match self.watched.get(path) {
            Some(watched) => watched.object,
            None => self.client.lookup(path)?.first().ok_or(Status::NotFound)?.id,
        };
        numbers.key = numbers.key.wrapping_add(1);
        self.client.call(numbers.key, object, method, &arguments)?;
        self.own_calls.insert(numbers.key, OwnCall { ticket, until: sys::now() + OWN_CALL_TIME });
        Ok(())
    }

    /// Works off what has come in. False where there may be more, also because a question to ubusd in between has brought it along.
    pub(super) fn work(&mut self, outbox: &mut Outbox, numbers: &mut Numbers) -> bool {
        self.client.work();
        for count in 0..64 {
            if outbox.is_full() {
                return true;
            }
            match self.client.heard() {
                Some(heard) => self.heard(heard, outbox, numbers),
                None => return count == 0,
            }
        }
        false
    }

    fn heard(&mut self, heard: Heard<C::Request>, outbox: &mut Outbox, numbers: &mut Numbers) {
        match heard {
            Heard::Call { request, method, arguments } => {
                if let Err((request, status)) = self.called(request, method, &arguments, outbox, numbers) {
                    self.client.answer(request, Err(status));
                }
            }
            Heard::Subscribed(subscribed) => {
                if self.subscribed != subscribed {
                    self.subscribed = subscribed;
                    outbox.send(Event::Subscribed(subscribed));
                }
            }
            Heard::Notification { subscription, name, data } => {
                let path = self.path(subscription).map(str::to_owned);
                if let (Some(path), Some(data)) = (path, blobmsg::decode(&data)) {
                    outbox.send(Event::Notification { path, name, data });
                }
            }
            Heard::Unsubscribed { subscription } => {
                if let Some(path) = self.path(subscription).map(str::to_owned) {
                    self.went(&path, outbox);
                }
            }
            Heard::Event { name, data } => self.event(&name, &data, outbox),
            Heard::Reply { key, outcome } => {
                if let Some(call) = self.own_calls.remove(&key) {
                    let table = |data: Vec<u8>| blobmsg::decode(&data).ok_or(Status::UnknownError);
                    outbox.send(Event::Reply { ticket: call.ticket, outcome: outcome.and_then(table) });
                }
            }
        }
    }

    /// Passes a call on, or gives back its request with the reason for the refusal.
    fn called(
        &mut self,
        request: C::Request,
        method: usize,
        arguments: &[u8],
        outbox: &mut Outbox,
        numbers: &mut Numbers,
    ) -> Result<(), (C::Request, Status)> {
        if self.calls.len() >= CALLS {
            numbers.refused = numbers.refused.saturating_add(1);
            if numbers.refused.is_power_of_two() {
                tracing::warn!(
                    refused = numbers.refused,
                    "ubus: calls are refused, too many wait for a reply"
                );
            }
            return Err((request, Status::Timeout));
        }
        if arguments.len() > ARGUMENTS {
            return Err((request, Status::InvalidArgument));
        }
        let Some(arguments) = blobmsg::decode(arguments) else {
            return Err((request, Status::InvalidArgument));
        };
        // After four thousand million calls an old one may still wait under its number.
        numbers.call = numbers.call.wrapping_add(1);
        while self.calls.contains_key(&CallId(numbers.call)) {
            numbers.call = numbers.call.wrapping_add(1);
        }
        let id = CallId(numbers.call);
        self.calls.insert(id, Waiting { request, until: sys::now() + CALL_TIME });
        outbox.send(Event::Call { id, method, arguments });
        Ok(())
    }

    fn event(&mut self, name: &str, data: &[u8], outbox: &mut Outbox) {
        let Some(table) = blobmsg::decode(data) else { return };
        // Identifiers have 32 bits and travel as signed integers.
        let id = table.get("id").and_then(serde_json::Value::as_i64).map(|id| id as u32);
        let path = table.get("path").and_then(serde_json::Value::as_str);
        let (Some(id), Some(path)) = (id, path) else { return };
        match name {
            APPEARED if self.is_wanted(path) => self.appeared(id, path.to_owned(), outbox),
            WENT if self.watched.get(path).is_some_and(|watched| watched.object == id) => {
                self.went(path, outbox)
            }
            _ => {}
        }
    }

    fn is_wanted(&self, path: &str) -> bool {
        self.spec.watched.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == *pattern,
        })
    }

    fn appeared(&mut self, object: u32, path: String, outbox: &mut Outbox) {
        match self.watched.get(&path) {
            Some(watched) if watched.object == object => return,
            Some(_) => self.went(&path, outbox),
            None => {}
        }
        if self.watched.len() >= WATCHED {
            return tracing::warn!(path, limit = WATCHED, "ubus: too many objects to follow");
        }
        match self.client.subscribe(object) {
            Ok(subscription) => {
                self.watched.insert(path.clone(), Watched { object, subscription });
                outbox.send(Event::Object { path, present: true });
            }
            // It went away again, which is told by an event, or may not be followed.
            Err(status) => tracing::debug!(path, %status, "ubus: cannot subscribe"),
        }
    }

    fn went(&mut self, path: &str, outbox: &mut Outbox) {
        if let Some(watched) = self.watched.remove(path) {
            self.client.unsubscribe(watched.subscription);
            outbox.send(Event::Object { path: path.to_owned(), present: false });
        }
    }

    fn path(&self, subscription: u32) -> Option<&str> {
        self.watched
            .iter()
            .find(|(_, watched)| watched.subscription == subscription)
            .map(|(path, _)| path.as_str())
    }

    /// Ends what has waited too long. Gives the time of the next such end.
    pub(super) fn expire(&mut self, now: Instant, outbox: &mut Outbox) -> Option<Instant> {
        while let Some(key) = first_over(self.own_calls.iter().map(|(key, call)| (*key, call.until)), now) {
            self.client.abandon(key);
            if let Some(call) = self.own_calls.remove(&key) {
                outbox.send(Event::Reply { ticket: call.ticket, outcome: Err(Status::Timeout) });
            }
        }
        while let Some(id) = first_over(self.calls.iter().map(|(id, call)| (*id, call.until)), now) {
            if let Some(waiting) = self.calls.remove(&id) {
                self.client.answer(waiting.request, Err(Status::Timeout));
            }
        }
        let own = self.own_calls.values().map(|call| call.until);
        own.chain(self.calls.values().map(|call| call.until)).min()
    }

    /// After the loss of the connection: all that depended on it is void.
    pub(super) fn lost(self, outbox: &mut Outbox) {
        outbox.forget_calls();
        outbox.send(Event::Disconnected);
        for call in self.own_calls.into_values() {
            outbox.send(Event::Reply { ticket: call.ticket, outcome: Err(Status::ConnectionFailed) });
        }
    }

    /// Ends the connection; nobody is left waiting.
    pub(super) fn close(mut self) {
        for waiting in std::mem::take(&mut self.calls).into_values() {
            self.client.answer(waiting.request, Err(Status::ConnectionFailed));
        }
        self.client.finish();
    }
}

fn first_over<K>(mut all: impl Iterator<Item = (K, Instant)>, now: Instant) -> Option<K> {
    all.find(|(_, until)| *until <= now).map(|(key, _)| key)
}
