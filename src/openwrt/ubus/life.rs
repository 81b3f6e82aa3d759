//! The life of the client's thread: connect, serve, reconnect.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use super::client::Client;
use super::outbox::{self, Outbox};
use super::session::{Numbers, Session};
use super::{Bus, Event, ObjectSpec, Order, Orders, Status, Wake, sys};

/// Orders that fit into the channel.
const ORDERS: usize = 256;

/// Tries to connect follow each other so quickly in the beginning, and after a loss.
const QUICK: Duration = Duration::from_millis(150);

/// So long.
const QUICK_TIME: Duration = Duration::from_secs(30);

/// Afterwards the time between two tries grows from the first to the second.
const SLOW: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));

/// A connection that was lost earlier is none to begin anew from.
const SETTLED: Duration = Duration::from_secs(1);

/// How often one looks whether the loop has room for events again.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long the end of the daemon waits for the last replies to be written.
const FAREWELL: Duration = Duration::from_millis(250);

/// Starts the thread of a client.
///
/// # Errors
/// Where the system has no thread or descriptor left.
pub(super) fn spawn<C: Client + 'static>(spec: ObjectSpec, socket: Option<PathBuf>) -> io::Result<Bus> {
    let (sender, events) = tokio::sync::mpsc::channel(outbox::CHANNEL);
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let (end, ended) = mpsc::sync_channel(0);
    let (bus, orders) = Bus::new(ORDERS, events, Box::new(Bell { wake: Some(near), ended }));
    let mut life = Life {
        spec,
        socket,
        orders,
        wake: far,
        outbox: Outbox::new(sender),
        numbers: Numbers::default(),
        complained: None,
        _end: end,
    };
    std::thread::Builder::new().name("ubus".into()).stack_size(512 * 1024).spawn(move || {
        sys::block_signals();
        life.run::<C>();
    })?;
    Ok(bus)
}

/// Wakes the thread; dropped, ends it, and gives it a moment for its last words.
#[derive(Debug)]
struct Bell {
    wake: Option<UnixStream>,
    ended: Receiver<()>,
}

impl Wake for Bell {
    fn wake(&self) {
        if let Some(mut wake) = self.wake.as_ref() {
            // A full pipe wakes, too.
            let _ = wake.write(&[0]);
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.wake = None;
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(FAREWELL) {
            tracing::debug!("ubus: the client is stuck and left alone");
        }
    }
}

struct Life {
    spec: ObjectSpec,
    socket: Option<PathBuf>,
    orders: Orders,
    wake: UnixStream,
    outbox: Outbox,
    numbers: Numbers,
    /// The last complaint, so that it is made once.
    complained: Option<String>,
    /// Dropped with the thread.
    _end: SyncSender<()>,
}

/// The loop has gone, and with it whom all this is for.
struct Over;

impl Life {
    fn run<C: Client>(&mut self) {
        let mut retry = Retry::new();
        loop {
            let opened = C::connect(self.socket.as_deref())
                .map_err(|error| format!("no connection to ubusd: {error}"))
                .and_then(|client| {
                    Session::open(client, self.spec, &mut self.outbox)
                        .map_err(|status| format!("object {} cannot be offered: {status}", self.spec.name))
                });
            let ended = match opened {
                Ok(session) => {
                    // The loop tells of it, and of the loss.
                    self.complained = None;
                    let begin = sys::now();
                    let ended = self.serve(session);
                    if begin.elapsed() >= SETTLED {
                        retry = Retry::new();
                    }
                    ended
                }
                Err(complaint) => {
                    self.complain(complaint);
                    Ok(())
                }
            };
            if ended.and_then(|()| self.pause(retry.next())).is_err() {
                return;
            }
        }
    }

    fn complain(&mut self, complaint: String) {
        if self.complained.as_ref() != Some(&complaint) {
            tracing::info!("ubus: {complaint}");
            self.complained = Some(complaint);
        }
    }

    /// Works on a connection until it is lost.
    fn serve<C: Client>(&mut self, mut session: Session<C>) -> Result<(), Over> {
        loop {
            let mut idle = true;
            for _ in 0..64 {
                match self.orders.try_next() {
                    Ok(order) => session.order(order, &mut self.outbox, &mut self.numbers),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        session.close();
                        return Err(Over);
                    }
                }
                idle = false;
            }
            idle &= session.work(&mut self.outbox, &mut self.numbers);
            if session.client().is_lost() {
                session.lost(&mut self.outbox);
                return Ok(());
            }
            self.outbox.flush();
            let now = sys::now();
            let next = session.expire(now, &mut self.outbox);
            if idle {
                let interest = session.client().interest();
                let socket = (!self.outbox.is_full()).then_some((interest.fd, interest.write));
                let until_next = next.map(|next| next.saturating_duration_since(now));
                let timeout = if self.outbox.is_waiting() { Some(PATIENCE) } else { until_next };
                sys::wait(self.wake.as_raw_fd(), socket, timeout);
            }
            self.woken();
        }
    }

    /// Takes back the wakings so far. What they were for is looked at afterwards.
    fn woken(&mut self) {
        let mut bytes = [0; 512];
        while self.wake.read(&mut bytes).is_ok_and(|length| length == bytes.len()) {}
    }

    /// Waits between two connections. Orders have nobody to go to.
    fn pause(&mut self, time: Duration) -> Result<(), Over> {
        let end = sys::now() + time;
        loop {
            loop {
                match self.orders.try_next() {
                    Ok(Order::Call { ticket, .. }) => {
                        self.outbox.send(Event::Reply { ticket, outcome: Err(Status::ConnectionFailed) });
                    }
                    Ok(Order::Reply { .. } | Order::Notify { .. }) => {}
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Err(Over),
                }
                if self.outbox.is_full() {
                    break;
                }
            }
            self.outbox.flush();
            let left = end.saturating_duration_since(sys::now());
            if left.is_zero() && !self.outbox.is_full() {
                return Ok(());
            }
            let left = if self.outbox.is_waiting() { PATIENCE } else { left };
            sys::wait(self.wake.as_raw_fd(), None, Some(left));
            self.woken();
        }
    }
}

/// How long to wait for the next try to connect.
struct Retry {
    begin: Instant,
    slow: Duration,
}

impl Retry {
    fn new() -> Self {
        Self { begin: sys::now(), slow: SLOW.0 }
    }

    fn next(&mut self) -> Duration {
        if self.begin.elapsed() < QUICK_TIME {
            return QUICK;
        }
        let slow = self.slow;
        self.slow = slow.saturating_mul(2).min(SLOW.1);
        slow
    }
}
