//! The loop's end of the two channels.

use std::sync::mpsc::{SyncSender, TrySendError};

use tokio::sync::mpsc;

use super::{Event, Order};

/// The loop's end of the connection to ubus.
#[derive(Debug)]
pub struct Bus {
    orders: SyncSender<Order>,
    events: mpsc::Receiver<Event>,
    wake: Waker,
    lost: u64,
}

/// Ends the wait of the client's thread: there are orders.
pub type Waker = Box<dyn Wake>;

/// See [`Waker`].
pub trait Wake: Send + std::fmt::Debug {
    /// Does not block and may be called as often as one likes.
    fn wake(&self);
}

impl Bus {
    /// Joins the channels that a client reads and writes.
    pub fn new(orders: SyncSender<Order>, events: mpsc::Receiver<Event>, wake: Waker) -> Self {
        Self { orders, events, wake, lost: 0 }
    }

    /// The next event. Cancel-safe. Never comes back once the client's thread has ended.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// An event that is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Hands an order to the client. False where it is lost, because the client is stuck or has ended.
    pub fn send(&mut self, order: Order) -> bool {
        match self.orders.try_send(order) {
            Ok(()) => {
                self.wake.wake();
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost = self.lost.saturating_add(1);
                false
            }
        }
    }

    /// How many orders were lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
