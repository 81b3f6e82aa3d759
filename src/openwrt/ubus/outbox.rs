//! Events on their way to the loop.

use std::collections::VecDeque;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::Event;

/// Events that fit into the channel.
pub(super) const CHANNEL: usize = 256;

/// Events that wait beside it. With more nothing is read from ubus any more.
const WAITING: usize = 512;

/// The thread's end of the channel of events. Never blocks.
pub(super) struct Outbox {
    channel: Sender<Event>,
    waiting: VecDeque<Event>,
    dropped: u32,
}

impl Outbox {
    pub(super) fn new(channel: Sender<Event>) -> Self {
        Self { channel, waiting: VecDeque::new(), dropped: 0 }
    }

    /// Sends an event, now or when the loop has taken others. A notification is a hint: it is dropped when it cannot be sent now.
    pub(super) fn send(&mut self, event: Event) {
        self.flush();
        if !self.waiting.is_empty() {
            return self.keep(event);
        }
        if let Err(TrySendError::Full(event)) = self.channel.try_send(event) {
            self.keep(event);
        }
    }

    fn keep(&mut self, event: Event) {
        if !matches!(event, Event::Notification { .. }) {
            return self.waiting.push_back(event);
        }
        self.dropped = self.dropped.saturating_add(1);
        if self.dropped.is_power_of_two() {
            tracing::warn!(dropped = self.dropped, "ubus: notifications are dropped, the daemon is too slow");
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(event)) = self.channel.try_send(event) {
                return self.waiting.push_front(event);
            }
        }
    }

    /// Takes back the calls that were not delivered: their connection is lost.
    pub(super) fn forget_calls(&mut self) {
        self.waiting.retain(|event| !matches!(event, Event::Call { .. }));
    }

    /// Whether something waits, so that one must come back without being woken.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the loop is so far behind that nothing new should be read.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openwrt::ubus::{CallId, Table};

    fn call(id: u32) -> Event {
        Event::Call { id: CallId(id), method: 0, arguments: Table::new() }
    }

    #[test]
    fn calls_wait_in_order_and_notifications_are_dropped() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        outbox.send(call(1));
        outbox.send(call(2));
        outbox.send(Event::Notification { path: "a".into(), name: "b".into(), data: Table::new() });
        outbox.send(call(3));
        assert_eq!((outbox.is_waiting(), outbox.dropped), (true, 1));
        for id in 1..=3 {
            assert_eq!(receiver.try_recv(), Ok(call(id)));
            outbox.flush();
        }
        assert!(!outbox.is_waiting());
    }

    #[test]
    fn a_loop_that_never_reads_stops_the_reading_and_ends_nothing() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        (0..=WAITING as u32).for_each(|id| outbox.send(call(id)));
        assert!(outbox.is_full());
        outbox.forget_calls();
        assert!(!outbox.is_waiting());
        drop(receiver);
        outbox.send(call(1));
        assert!(!outbox.is_waiting());
    }
}
