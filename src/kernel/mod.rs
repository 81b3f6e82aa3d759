//! The kernel side: one driver for each kernel interface, no policy.
//!
//! [`Kernel`] turns what the kernel says into [`Input`]s and carries out [`Action`](crate::engine::Action)s. It keeps no state of roaming: what it
//! remembers are sockets and, for the source addresses of probes, the interfaces' MACs and addresses.
//!
//! All waiting happens in [`Kernel::next`], all of it on tokio's AsyncFd. It is cancel-safe: a future that is dropped has
//! lost nothing. The others ask the kernel, which answers at once, and are to be awaited to their end.

mod actions;
mod address;
mod dump;
mod error;
mod events;
mod facts;
mod icmp;
mod intercom;
mod interfaces;
mod neighbour;
mod netlink;
mod nl80211;
mod packet;
mod reconcile;
mod route;
mod sys;
mod sysctl;
mod tun;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::Ipv6Addr;
use std::task::{Context as Task, Poll};

use futures_util::FutureExt;
use futures_util::task::noop_waker_ref;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use tokio::task::unconstrained;

use crate::engine::config::{Protocols, Sources};
use crate::engine::input::{FrameHeard, Input};
use crate::net::{IfIndex, InterfaceName, Prefix};
use crate::wire::frame;
pub use error::KernelError;
use error::{Context, is_errno};
use events::Events;
use icmp::Icmp;
use intercom::Intercom;
use interfaces::Interfaces;
use netlink::Requests;
use nl80211::Stations;
use packet::Packets;
pub use reconcile::Repairs;

use tun::Tun;

/// A datagram of any kind that we read fits in.
const SCRATCH_BYTES: usize = 65536;

/// What the kernel side must know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the capture TUN.
    pub tun: InterfaceName,
    /// The source address of intercom datagrams. It need not exist yet.
    pub node_address: Ipv6Addr,
    /// Where the node-client addresses on `lo` are.
    pub node_client_prefix: Prefix,
    /// The metric of our routes (16).
    pub metric: u32,
    /// The metric of a second drained route, for a routing daemon that exports routes by the kernel's metric (4096); without one
    /// there is none.
    pub drain_metric: Option<u32>,
    /// The numbers by which routing daemons know our routes.
    pub protocols: Protocols,
    /// Which sources of evidence are used.
    pub sources: Sources,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A fact.
    Input(Input),
    /// Facts were lost (a netlink buffer was too small), or what we installed is gone (the TUN was removed; the dump makes it
    /// anew). Dump and reconcile.
    StateLost(&'static str),
    /// The kernel side does not work any more, and cannot be repaired from within.
    Broken(KernelError),
}

/// What was dropped, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Netlink messages that could not be decoded.
    pub netlink_undecodable: u64,
    /// Netlink messages that the kernel did not send.
    pub netlink_not_from_kernel: u64,
    /// Times that netlink messages were lost.
    pub netlink_overruns: u64,
    /// Frames that passed the filter of a packet socket and said nothing.
    pub frames_not_parsed: u64,
    /// Intercom datagrams larger than any buffer, or without the packet information that was asked for.
    pub intercom_unreadable: u64,
    /// Packets that the kernel did not take back because the TUN's queue was full.
    pub tun_full: u64,
    /// Actions that failed.
    pub actions_failed: u64,
}

impl Counters {
    /// Name and count of every counter.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self {
            netlink_undecodable,
            netlink_not_from_kernel,
            netlink_overruns,
            frames_not_parsed,
            intercom_unreadable,
            tun_full,
            actions_failed,
        } = *self;
        [
            ("netlink_undecodable", netlink_undecodable),
            ("netlink_not_from_kernel", netlink_not_from_kernel),
            ("netlink_overruns", netlink_overruns),
            ("frames_not_parsed", frames_not_parsed),
            ("intercom_unreadable", intercom_unreadable),
            ("tun_full", tun_full),
            ("actions_failed", actions_failed),
        ]
        .into_iter()
    }
}

/// The kernel side of the daemon.
pub struct Kernel {
    settings: Settings,
    requests: Requests,
    events: Events,
    /// `None` where it is switched off.
    stations: Option<Stations>,
    tun: Tun,
    /// The TUN is gone, removed by somebody.
    tun_lost: bool,
    intercom: Intercom,
    packets: Packets,
    icmp: Icmp,
    interfaces: Interfaces,
    counters: Counters,
    /// The operator has been told that the neighbour table is full.
    table_full: bool,
    /// Netlink messages and events read, not told yet: those of one datagram.
    messages: VecDeque<RouteNetlinkMessage>,
    pending: VecDeque<Event>,
    /// The source to be asked first.
    turn: usize,
    /// Where every datagram is read into.
    scratch: Box<[u8]>,
}

impl Kernel {
    /// Opens everything. Must be called inside a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// Where something that the daemon cannot do without cannot be had: privileges, the TUN, the intercom's port.
    pub async fn open(settings: Settings) -> Result<Self, KernelError> {
        // First, so that a second daemon touches nothing.
        let intercom = Intercom::open(settings.node_address)?;
        let packets = Packets::open().context("open", "packet socket")?;
        let icmp = Icmp::open().context("open", "ICMP sockets")?;
        let events = Events::open().context("open", "netlink event socket")?;
        let stations = if settings.sources.nl80211 {
            Some(Stations::open().context("open", "generic netlink socket")?)
        } else {
            None
        };
        let mut requests = Requests::open().context("open", "netlink request socket")?;
        let tun = Tun::open(&settings.tun, &mut requests).await?;
        Ok(Self {
            settings,
            requests,
            events,
            stations,
            tun,
            tun_lost: false,
            intercom,
            packets,
            icmp,
            interfaces: Interfaces::default(),
            counters: Counters::default(),
            table_full: false,
            messages: VecDeque::new(),
            pending: VecDeque::new(),
            turn: 0,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        })
    }

    /// What was dropped so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The capture TUN's number. Changes when the TUN was removed by somebody and made anew.
    pub fn tun(&self) -> IfIndex {
        self.tun.index()
    }

    /// Replaces the socket for announcements by one with a receive buffer of this size. The default is 4 MB; tests take less.
    ///
    /// # Errors
    /// Where the socket cannot be had.
    pub fn set_event_buffer(&mut self, bytes: usize) -> Result<(), KernelError> {
        self.events = Events::with_buffer(bytes).context("open", "netlink event socket")?;
        Ok(())
    }

    /// Waits until something happens. Cancel-safe.
    pub async fn next(&mut self) -> Event {
        poll_fn(|task| self.poll_next(task)).await
    }

    /// What has happened already, for draining with a budget of the caller's: tokio's own, of 128 questions, would end the round while facts
    /// still wait.
    pub fn try_next(&mut self) -> Option<Event> {
        let mut next = unconstrained(poll_fn(|task| self.poll_next(task)));
        match next.poll_unpin(&mut Task::from_waker(noop_waker_ref())) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }

    /// Asks all sources in turn, beginning behind the one that spoke last: none starves.
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Event> {
        const SOURCES: usize = 5;
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Poll::Ready(event);
            }
            if let Some(message) = self.messages.pop_front() {
                let fact = self.fact(message);
                self.pending.extend(fact.map(Event::Input));
                continue;
            }
            let first = self.turn;
            let spoke = (0..SOURCES).map(|n| (first + n) % SOURCES).find(|source| {
                match source {
                    0 => self.poll_events(task),
                    1 => self.poll_intercom(task),
                    2 => self.poll_packets(task),
                    3 => self.poll_stations(task),
                    _ => self.poll_tun(task),
                }
                .is_ready()
            });
            match spoke {
                Some(source) => self.turn = (source + 1) % SOURCES,
                None => return Poll::Pending,
            }
        }
    }

    fn poll_events(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let Self { events, scratch, counters, messages, .. } = self;
        events.poll(task, scratch, counters, messages).map(|result| {
            let Err(error) = result else { return };
            let lost = if is_errno(&error, &[libc::ENOBUFS]) {
                counters.netlink_overruns += 1;
                "netlink messages were lost"
            } else {
                "the netlink socket broke"
            };
            messages.clear();
            self.pending.push_back(match events.reopen().context("open", "netlink event socket") {
                Ok(()) => Event::StateLost(lost),
                Err(error) => Event::Broken(error),
            });
        })
    }

    fn poll_intercom(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.intercom.poll(task, &mut self.scratch).map(|result| match result {
            Ok(received) => self.pending.push_back(Event::Input(Input::IntercomReceived(received))),
            Err(_) => self.counters.intercom_unreadable += 1,
        })
    }

    fn poll_packets(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.packets.poll(task, &mut self.scratch).map(|(interface, length)| {
            match frame::parse(self.scratch.get(..length).unwrap_or(&[])) {
                Ok(frame::Frame { source, contents }) => {
                    self.pending.extend(contents.into_iter().map(|content| {
                        Event::Input(Input::FrameHeard(FrameHeard { interface, source, content }))
                    }));
                }
                Err(_) => self.counters.frames_not_parsed += 1,
            }
        })
    }

    fn poll_stations(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let Self { stations, scratch, counters, pending, .. } = self;
        match stations {
            Some(stations) => stations.poll(task, scratch, counters, pending),
            None => Poll::Pending,
        }
    }

    fn poll_tun(&mut self, task: &mut Task<'_>) -> Poll<()> {
        if self.tun_lost {
            return Poll::Pending;
        }
        self.tun.poll_read(task, &mut self.scratch).map(|result| match result {
            Ok(length) => {
                let packet = self.scratch.get(..length).unwrap_or(&[]).to_vec();
                self.pending.push_back(Event::Input(Input::PacketForUnknown(packet)));
            }
            Err(_) => self.tun_is_lost(),
        })
    }

    /// Nothing is read from it any more until the dump that follows has made it anew.
    fn tun_is_lost(&mut self) {
        if !self.tun_lost {
            self.tun_lost = true;
            self.pending.push_back(Event::StateLost("the TUN was removed"));
        }
    }

    /// The fact that a netlink message tells; keeps the knowledge of interfaces up to date.
    fn fact(&mut self, message: RouteNetlinkMessage) -> Option<Input> {
        match message {
            RouteNetlinkMessage::NewLink(message) => {
                let link = facts::link(&message)?;
                self.interfaces.link_seen(link.index, link.mac);
                if let Some(stations) = &mut self.stations {
                    stations.link_changed(link.index);
                }
                Some(Input::LinkSeen(link))
            }
            RouteNetlinkMessage::DelLink(message) => {
                if !facts::is_whole_link(&message) {
                    return None;
                }
                let index = IfIndex(message.header.index);
                self.link_gone(index);
                if index == self.tun.index() {
                    self.tun_is_lost();
                }
                Some(Input::LinkGone(index))
            }
            RouteNetlinkMessage::NewAddress(message) => {
                let address = address::Address::read(&message)?;
                let own = Input::OwnAddressSeen(address.address);
                self.interfaces.address_seen(address);
                Some(own)
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let address = address::Address::read(&message)?;
                self.interfaces.address_gone(&address);
                Some(Input::OwnAddressGone(address.address))
            }
            RouteNetlinkMessage::NewRoute(message) => {
                route::host_route_seen(&message, self.settings.protocols, self.tun.index())
                    .map(Input::HostRouteSeen)
            }
            RouteNetlinkMessage::DelRoute(message) => {
                route::own_route_gone(&message, self.settings.protocols)
            }
            RouteNetlinkMessage::NewNeighbour(message) => self.neighbour_fact(&message, true),
            RouteNetlinkMessage::DelNeighbour(message) => self.neighbour_fact(&message, false),
            _ => None,
        }
    }

    fn link_gone(&mut self, index: IfIndex) {
        if let Some(stations) = &mut self.stations {
            stations.link_changed(index);
        }
        self.interfaces.link_gone(index);
        self.packets.stop(index);
    }

    fn neighbour_fact(&self, message: &NeighbourMessage, seen: bool) -> Option<Input> {
        let wanted = self.settings.sources.netlink;
        if let Some(entry) = facts::fdb(message) {
            return wanted.then_some(if seen { Input::FdbSeen(entry) } else { Input::FdbGone(entry) });
        }
        let fact = facts::neighbour(message)?.fact;
        if !wanted && !fact.ours {
            return None;
        }
        Some(if seen {
            Input::NeighbourSeen(fact)
        } else {
            Input::NeighbourGone { interface: fact.interface, address: fact.address }
        })
    }

    /// Ends: closes everything. The TUN goes with its descriptor, unless an administrator made it persistent.
    pub async fn shut_down(self) {
        drop(self);
    }
}
