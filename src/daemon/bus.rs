//! The object on ubus, as the loop sees it: calls come in, answers and notifications go out, and nothing waits.

use std::collections::VecDeque;

use super::ask::Asker;
use super::run::Daemon;
use crate::engine::{Engine, Notice};
use crate::openwrt::object::{self, Connection, Request};
use crate::openwrt::ubus::{Bus, CallId, Event, Order, Status, Table};
use crate::time::Timestamp;

/// Events of the bus taken before everything else has its turn again: a page of clients is a millisecond or two on a router.
const MAX_EVENTS: usize = 4;

/// The connection to ubus; without one nothing comes, and what is sent is lost.
#[derive(Default)]
pub struct BusLink {
    bus: Option<Bus>,
    /// What came before the loop ran.
    early: VecDeque<Event>,
    connection: Connection,
}

impl BusLink {
    /// The object on this bus.
    pub fn new(bus: Option<Bus>) -> Self {
        Self { bus, early: VecDeque::new(), connection: Connection::default() }
    }

    /// The next event, all but those that were kept. Cancel-safe.
    pub async fn next(&mut self) -> Event {
        match &mut self.bus {
            Some(bus) => bus.next().await,
            None => std::future::pending().await,
        }
    }

    /// Whether there is a bus.
    pub fn exists(&self) -> bool {
        self.bus.is_some()
    }

    /// Keeps an event, of which [`BusLink::heard`] knows, for the loop.
    pub fn keep(&mut self, event: Event) {
        self.early.push_back(event);
    }

    /// What was kept.
    pub fn kept(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.early)
    }

    fn try_next(&mut self) -> Option<Event> {
        self.bus.as_mut().and_then(Bus::try_next)
    }

    /// Takes in what an event says of the connection.
    pub fn heard(&mut self, event: &Event) {
        let connection = &mut self.connection;
        match event {
            Event::Connected => {
                connection.connected = true;
                connection.connects = connection.connects.saturating_add(1);
                tracing::info!("object l3roamd is on ubus");
            }
            Event::Disconnected => {
                (connection.connected, connection.subscribed) = (false, false);
                tracing::warn!("ubus is gone, trying again");
            }
            Event::Subscribed(subscribed) => connection.subscribed = *subscribed,
            Event::Call { .. } => connection.calls = connection.calls.saturating_add(1),
            Event::Object { .. } | Event::Notification { .. } | Event::Reply { .. } => {}
        }
    }

    /// How the connection stands; `None` where there is to be none.
    pub fn connection(&self) -> Option<Connection> {
        let bus = self.bus.as_ref()?;
        Some(Connection { lost: bus.lost(), ..self.connection })
    }

    /// Answers a call.
    pub fn reply(&mut self, id: CallId, outcome: Result<Table, Status>) {
        self.send(Order::Reply { id, outcome });
    }

    /// Tells subscribers a piece of news, where there are any.
    pub fn notify(&mut self, engine: &Engine, notice: &Notice) {
        if !self.connection.subscribed {
            return;
        }
        if let Some((name, data)) = object::notification(engine, notice) {
            self.connection.notifications = self.connection.notifications.saturating_add(1);
            self.send(Order::Notify { name, data }); // what is lost is counted
        }
    }

    /// Hands an order to the bus. False where it is lost; that is counted.
    pub fn send(&mut self, order: Order) -> bool {
        self.bus.as_mut().is_some_and(|bus| bus.send(order))
    }
}

impl Daemon {
    /// Takes in what the bus tells, and what else is there already.
    pub(super) async fn bus_events(&mut self, now: Timestamp, first: Event) {
        let mut next = Some(first);
        for more in (0..MAX_EVENTS).rev() {
            let Some(event) = next else { break };
            self.bus.heard(&event);
            self.bus_event(now, event).await;
            next = if more > 0 { self.bus.try_next() } else { None };
        }
    }

    /// Takes in an event that the link knows of.
    pub(super) async fn bus_event(&mut self, now: Timestamp, event: Event) {
        self.follow(now, &event);
        match event {
            // Nobody is there any more to be told.
            Event::Disconnected => self.seeks.retain(|asker| !matches!(asker, Asker::Bus(_))),
            Event::Call { id, method, arguments } => self.call(now, id, method, &arguments).await,
            Event::Connected
            | Event::Subscribed(_)
            | Event::Object { .. }
            | Event::Notification { .. }
            | Event::Reply { .. } => {}
        }
    }

    async fn call(&mut self, now: Timestamp, id: CallId, method: usize, arguments: &Table) {
        if object::is_about_networks(method, arguments) {
            self.networks.want(now);
            return self.bus.reply(id, Ok(Table::new()));
        }
        let request = match object::read_call(method, arguments) {
            Ok(request) => request,
            Err(status) => return self.bus.reply(id, Err(status)),
        };
        match request {
            Request::Command(command) => self.ask(now, &command, Asker::Bus(id)).await,
            Request::Clients(_) | Request::Handovers(_) | Request::Prefixes => {
                if let Some(outcome) = self.view(now, |view| object::look(&request, view)) {
                    self.bus.reply(id, outcome);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::engine::Config;
    use crate::net::Mac;
    use crate::openwrt::ubus::Orders;

    fn link(capacity: usize) -> (BusLink, Orders, tokio::sync::mpsc::Sender<Event>) {
        let (told, events) = tokio::sync::mpsc::channel(capacity);
        let (bus, orders) = Bus::unwoken(capacity, events);
        (BusLink::new(Some(bus)), orders, told)
    }

    fn news() -> Notice {
        let client = Mac([2, 0, 0, 0, 0, 1]);
        Notice::ClientLeft { client, reason: crate::engine::output::LeaveReason::Silent }
    }

    #[test]
    fn news_is_sent_only_while_somebody_is_subscribed() {
        let engine = Engine::new(Config::new(Ipv6Addr::LOCALHOST), 0, Timestamp::ZERO);
        let (mut link, ordered, _events) = link(8);
        let count = |link: &mut BusLink, event: &Event| {
            link.heard(event);
            link.notify(&engine, &news());
            std::iter::from_fn(|| ordered.try_next().ok())
                .filter(|order| matches!(order, Order::Notify { .. }))
                .count()
        };
        assert_eq!(count(&mut link, &Event::Connected), 0);
        assert_eq!(count(&mut link, &Event::Subscribed(true)), 1);
        assert_eq!(count(&mut link, &Event::Subscribed(false)), 0);
        assert_eq!(count(&mut link, &Event::Subscribed(true)), 1);
        assert_eq!(count(&mut link, &Event::Disconnected), 0);
        assert_eq!(count(&mut link, &Event::Connected), 0);
        let connection = link.connection().unwrap();
        assert_eq!((connection.connects, connection.notifications, connection.lost), (2, 2, 0));
    }

    #[test]
    fn what_a_stuck_client_of_the_bus_does_not_take_is_counted_and_lost() {
        let engine = Engine::new(Config::new(Ipv6Addr::LOCALHOST), 0, Timestamp::ZERO);
        let (mut link, _ordered, _events) = link(2);
        link.heard(&Event::Subscribed(true));
        (0..5).for_each(|_| link.notify(&engine, &news()));
        link.reply(CallId(7), Ok(Table::new()));
        assert_eq!(link.connection().unwrap().lost, 4);
    }

    #[test]
    fn without_ubus_nothing_is_sent_and_nothing_comes() {
        let mut link = BusLink::default();
        link.reply(CallId(7), Err(Status::NotFound));
        assert_eq!((link.connection(), link.try_next()), (None, None));
    }
}
