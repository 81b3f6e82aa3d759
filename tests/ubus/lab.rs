//! A broker, a client, and what it has said.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use l3roamd::openwrt::ubus::{
    ArgumentType, Bus, CallId, Carrier, Event, MethodSpec, ObjectSpec, Order, Status, Table, start_with,
};
use serde_json::Value;

use crate::broker::{Broker, Kind};
use crate::peer::Peer;

/// Our object.
pub const NAME: &str = "l3roamd";

/// What it offers and follows.
pub const SPEC: ObjectSpec = ObjectSpec {
    name: NAME,
    methods: &[
        MethodSpec {
            name: "echo",
            arguments: &[
                ("text", ArgumentType::String),
                ("number", ArgumentType::Integer),
                ("flag", ArgumentType::Boolean),
                ("list", ArgumentType::Array),
                ("table", ArgumentType::Table),
            ],
        },
        MethodSpec { name: "defer", arguments: &[] },
    ],
    watched: &["network.interface", "hostapd.*"],
};

/// Longer than anything takes that works, on any machine.
pub const LONG: Duration = Duration::from_secs(60);

/// Who is tested with whom.
pub struct World {
    /// The client.
    pub carrier: Carrier,
    /// ubusd.
    pub broker: Kind,
}

/// A client's name in the titles of tests.
pub fn name(carrier: Carrier) -> &'static str {
    match carrier {
        #[cfg(feature = "libubus")]
        Carrier::Libubus => "libubus",
        #[cfg(feature = "embedded-ubus")]
        Carrier::Embedded => "embedded",
    }
}

/// A place for sockets that ends with the test.
pub struct Place(PathBuf);

impl Place {
    /// Makes one.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("l3roamd-ubus-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// The socket in it.
    pub fn socket(&self) -> PathBuf {
        self.0.join("ubus.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The loop's place.
pub struct Daemon {
    bus: Bus,
    kept: VecDeque<Event>,
}

impl Daemon {
    /// Starts a client.
    pub fn start(carrier: Carrier, socket: PathBuf) -> Self {
        Self { bus: start_with(carrier, SPEC, Some(socket)).expect("a thread"), kept: VecDeque::new() }
    }

    /// Waits for an event of a kind; others are kept for later.
    pub fn find<T>(&mut self, what: &str, time: Duration, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            while let Some(event) = self.bus.try_next() {
                self.kept.push_back(event);
            }
            if let Some(index) = self.kept.iter().position(|event| wanted(event).is_some()) {
                let event = self.kept.remove(index).expect("found");
                return wanted(&event).expect("the same");
            }
            assert!(begin.elapsed() < time, "{what} does not come within {time:?}; came: {:?}", self.kept);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What has come by now and was not asked for.
    pub fn rest(&mut self) -> Vec<Event> {
        while let Some(event) = self.bus.try_next() {
            self.kept.push_back(event);
        }
        self.kept.drain(..).collect()
    }

    /// Waits until the object is there.
    pub fn connected(&mut self) {
        self.find("the connection", LONG, |event| (*event == Event::Connected).then_some(()));
    }

    /// Waits for the loss of the connection.
    pub fn disconnected(&mut self) {
        self.find("the loss", LONG, |event| (*event == Event::Disconnected).then_some(()));
    }

    /// Waits for a call.
    pub fn call(&mut self) -> (CallId, usize, Table) {
        self.find("a call", LONG, |event| match event {
            Event::Call { id, method, arguments } => Some((*id, *method, arguments.clone())),
            _ => None,
        })
    }

    /// Waits until an object is there, or has gone.
    pub fn object(&mut self, path: &str, present: bool) {
        let wanted = Event::Object { path: path.into(), present };
        self.find(&format!("{wanted:?}"), LONG, |event| (*event == wanted).then_some(()));
    }

    /// Waits for the reply to a call of ours.
    pub fn reply(&mut self, wanted: u32) -> Result<Table, Status> {
        self.find("a reply", LONG, |event| match event {
            Event::Reply { ticket, outcome } if ticket.0 == wanted => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Sends an order.
    pub fn send(&mut self, order: Order) -> bool {
        self.bus.send(order)
    }

    /// Answers a call.
    pub fn answer(&mut self, id: CallId, outcome: Result<Value, Status>) {
        let outcome = outcome.map(|value| value.as_object().expect("a table").clone());
        assert!(self.send(Order::Reply { id, outcome }), "the client is not stuck");
    }

    /// Answers calls of `echo` with their arguments, until so many were answered.
    pub fn echo(&mut self, times: usize) {
        for _ in 0..times {
            let (id, method, arguments) = self.call();
            assert_eq!(method, 0);
            self.answer(id, Ok(Value::Object(arguments)));
        }
    }
}

/// A client on a broker.
pub struct Lab {
    /// The loop's place.
    pub daemon: Daemon,
    /// ubusd.
    pub broker: Broker,
    place: Place,
}

impl Lab {
    /// Starts both and waits until the object is there.
    pub fn new(world: &World) -> Self {
        let place = Place::new();
        let broker = Broker::start(world.broker.clone(), &place.socket());
        let mut daemon = Daemon::start(world.carrier, place.socket());
        daemon.connected();
        Self { daemon, broker, place }
    }

    /// Somebody else.
    pub fn peer(&self) -> Peer {
        Peer::new(&self.place.socket())
    }
}
