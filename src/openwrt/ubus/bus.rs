//! The loop's end of the two channels, and the thread's end of that for orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{Event, Order, Table};

/// What orders that wait may hold of the memory together, bytes. A page of two hundred clients holds about as much.
const WAITING: usize = 2 << 20;

/// The loop's end of the connection to ubus.
#[derive(Debug)]
pub struct Bus {
    /// Bounded by what follows: a channel of fixed size would hold the memory of all its places all the time.
    orders: Sender<Waiting>,
    queue: Arc<Queue>,
    /// How many orders may wait.
    most: usize,
    events: mpsc::Receiver<Event>,
    wake: Waker,
    lost: u64,
}

/// What is in the channel of orders.
#[derive(Debug, Default)]
struct Queue {
    orders: AtomicUsize,
    bytes: AtomicUsize,
}

impl Queue {
    /// Takes the place of an order, if there is one.
    fn enter(&self, weight: usize, most: usize) -> bool {
        let orders = self.orders.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(weight, Ordering::Relaxed);
        // Whatever a single one weighs, it is taken where nothing waits.
        let fits = orders < most && (orders == 0 || bytes.saturating_add(weight) <= WAITING);
        if !fits {
            self.leave(weight);
        }
        fits
    }

    fn leave(&self, weight: usize) {
        self.orders.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
    }
}

/// Ends the wait of the client's thread: there are orders.
pub type Waker = Box<dyn Wake>;

/// See [`Waker`].
pub trait Wake: Send + std::fmt::Debug {
    /// Does not block and may be called as often as one likes.
    fn wake(&self);
}

impl Bus {
    /// Joins the channel that a client writes and a new one for orders, of which that many fit into it; its other end is the client's.
    pub fn new(orders: usize, events: mpsc::Receiver<Event>, wake: Waker) -> (Self, Orders) {
        let (sender, channel) = channel();
        let queue = Arc::new(Queue::default());
        let receiver = Orders { channel, queue: Arc::clone(&queue) };
        (Self { orders: sender, queue, most: orders, events, wake, lost: 0 }, receiver)
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
        let weight = weight(&order);
        if self.queue.enter(weight, self.most) {
            if self.orders.send(Waiting { order, weight }).is_ok() {
                self.wake.wake();
                return true;
            }
            self.queue.leave(weight);
        }
        self.lost = self.lost.saturating_add(1);
        false
    }

    /// How many orders were lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// The client's end of the channel of orders.
#[derive(Debug)]
pub struct Orders {
    channel: Receiver<Waiting>,
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Waiting {
    order: Order,
    weight: usize,
}

impl Orders {
    /// The next order.
    ///
    /// # Errors
    /// Where there is none yet, or the loop has gone.
    pub fn try_next(&self) -> Result<Order, TryRecvError> {
        let Waiting { order, weight } = self.channel.try_recv()?;
        self.queue.leave(weight);
        Ok(order)
    }
}

/// About how many bytes of memory an order holds.
fn weight(order: &Order) -> usize {
    size_of::<Waiting>()
        + match order {
            Order::Reply { outcome: Ok(table), .. } | Order::Notify { data: table, .. } => of_table(table),
            Order::Reply { outcome: Err(_), .. } => 0,
            Order::Call { path, arguments, .. } => path.len() + of_table(arguments),
        }
}

fn of_table(table: &Table) -> usize {
    table.iter().map(|(name, value)| size_of::<(String, Value)>() + name.len() + of_value(value)).sum()
}

/// What a value holds beside itself.
fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| size_of::<Value>() + of_value(value)).sum(),
        Value::Object(table) => of_table(table),
    }
}

#[cfg(test)]
impl Bus {
    /// A bus whose client nobody wakes: a test takes its orders itself.
    pub(crate) fn unwoken(capacity: usize, events: mpsc::Receiver<Event>) -> (Self, Orders) {
        #[derive(Debug)]
        struct Nobody;

        impl Wake for Nobody {
            fn wake(&self) {}
        }

        Self::new(capacity, events, Box::new(Nobody))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openwrt::ubus::CallId;

    fn bus() -> (Bus, Orders) {
        Bus::unwoken(256, mpsc::channel(1).1)
    }

    /// A reply that holds about that many bytes.
    fn reply(bytes: usize) -> Order {
        let list: Vec<Value> = (0..bytes / 1024).map(|_| json!({ "text": "x".repeat(900) })).collect();
        let Value::Object(table) = json!({ "list": list }) else { panic!() };
        Order::Reply { id: CallId(1), outcome: Ok(table) }
    }

    #[test]
    fn a_stuck_client_is_not_heaped_with_more_than_two_mebibytes() {
        let (mut bus, orders) = bus();
        let taken = (0..20).filter(|_| bus.send(reply(512 * 1024))).count();
        assert!((3..=4).contains(&taken), "{taken}");
        assert_eq!(bus.lost(), 20 - taken as u64);
        // What is small has its place still, until there are too many of them.
        assert!(bus.send(reply(0)));
        assert!(orders.try_next().is_ok());
        assert!(bus.send(reply(400 * 1024)), "room that was made is not used");
        while orders.try_next().is_ok() {}
        assert_eq!(bus.queue.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_single_order_is_taken_whatever_it_weighs_and_nothing_beside_it() {
        let (mut bus, orders) = bus();
        assert!(bus.send(reply(3 << 20)));
        assert!(!bus.send(reply(0)));
        assert!(orders.try_next().is_ok());
        assert!(bus.send(reply(0)));
        assert_eq!(bus.lost(), 1);
    }

    #[test]
    fn orders_to_a_client_that_has_ended_are_lost_and_weigh_nothing() {
        let (mut bus, orders) = bus();
        drop(orders);
        assert!(!bus.send(reply(1024)));
        assert_eq!((bus.lost(), bus.queue.bytes.load(Ordering::Relaxed)), (1, 0));
    }
}
