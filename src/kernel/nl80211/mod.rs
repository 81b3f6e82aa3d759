//! Stations of access points, from nl80211.
//!
//! cfg80211 may not be there, may come later (its modules are loaded after us) and may go again: the controller of generic netlink
//! announces it, with the numbers of its groups. It is never loaded by us: we look for it among the families that exist.
//!
//! Only stations of access points are told. A mesh peer is a station too, and so is the access point of a station interface.

mod message;
mod socket;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::task::{Context, Poll};

use super::error::is_errno;
use super::{Counters, Event};
use crate::engine::input::Input;
use crate::net::{IfIndex, Mac};
use message::{CONTROLLER, Family, Interface, Kind, Malformed, Told, command, controller};
use socket::{Events, Question, Requests};

/// Wireless interfaces whose type is remembered. When there are more, all are asked for again.
const MAX_INTERFACES: usize = 256;
/// Stations remembered, so that a dump can tell who has left. One that is not remembered is told as soon as it comes and goes.
const MAX_STATIONS: usize = 8192;

/// The source of stations.
pub(super) struct Stations {
    events: Events,
    requests: Requests,
    seen: Seen,
}

impl Stations {
    /// Opens the sockets. The first dump finds what is there.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { events: Events::open()?, requests: Requests::open()?, seen: Seen::default() })
    }

    /// Reads one datagram and appends what it tells to `pending`.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        scratch: &mut [u8],
        counters: &mut Counters,
        pending: &mut VecDeque<Event>,
    ) -> Poll<()> {
        self.events.poll(context, scratch, counters).map(|result| match result {
            Ok(length) => self.take_in(length, scratch, counters, pending),
            Err(error) => {
                let lost = if is_errno(&error, &[libc::ENOBUFS]) {
                    counters.netlink_overruns += 1;
                    "messages about stations were lost"
                } else {
                    "the socket for stations broke"
                };
                // Old announcements would contradict the dump to come, which joins the groups again.
                self.seen.family = None;
                pending.push_back(match Events::open() {
                    Ok(events) => {
                        self.events = events;
                        Event::StateLost(lost)
                    }
                    Err(source) => {
                        Event::Broken(super::KernelError::new("open", "generic netlink socket", source))
                    }
                });
            }
        })
    }

    fn take_in(
        &mut self,
        length: usize,
        scratch: &mut [u8],
        counters: &mut Counters,
        pending: &mut VecDeque<Event>,
    ) {
        let mut family = self.seen.family.as_ref().map(|family| family.id);
        let mut all = Vec::new();
        for message in message::messages(scratch.get(..length).unwrap_or(&[])) {
            match message.and_then(|message| message::read(&message, family)) {
                Ok(Some(told)) => {
                    if let Told::Family(new) = &told {
                        family = Some(new.id);
                    }
                    all.push(told);
                }
                Ok(None) => {}
                Err(Malformed) => counters.netlink_undecodable += 1,
            }
        }
        for told in all {
            match told {
                Told::Family(family) => {
                    if self.meet(family).is_err() {
                        counters.netlink_undecodable += 1;
                    }
                    pending.push_back(Event::StateLost("nl80211 appeared"));
                }
                Told::Station(index, _) => {
                    if !self.seen.interfaces.contains_key(&index) {
                        self.ask_for(index, scratch, counters);
                    }
                    self.seen.take_in(told, &mut |input| pending.push_back(Event::Input(input)));
                }
                told => self.seen.take_in(told, &mut |input| pending.push_back(Event::Input(input))),
            }
        }
    }

    /// What nl80211 knows now: all stations of access points, those that left since the last dump first.
    pub(super) fn dump(&mut self, scratch: &mut [u8], counters: &mut Counters) -> io::Result<Vec<Input>> {
        let mut facts = Vec::new();
        let question =
            Question { family: CONTROLLER, command: controller::GET_FAMILY, interface: None, dump: true };
        let families =
            self.requests.ask(question, scratch, counters, |message| message::read(message, None))?;
        let family = families.into_iter().find_map(|told| match told {
            Told::Family(family) => Some(family),
            _ => None,
        });
        let Some(family) = family else {
            self.seen.take_in(Told::FamilyGone, &mut |input| facts.push(input));
            return Ok(facts);
        };
        let id = family.id;
        self.meet(family)?;
        let question = Question { family: id, command: command::GET_INTERFACE, interface: None, dump: true };
        let told =
            self.requests.ask(question, scratch, counters, |message| message::read(message, Some(id)))?;
        self.seen.interfaces.clear();
        for told in told {
            self.seen.take_in(told, &mut |_| ());
        }
        let mut stations = BTreeSet::new();
        for index in self.seen.access_points() {
            let question =
                Question { family: id, command: command::GET_STATION, interface: Some(index), dump: true };
            match self.requests.ask(question, scratch, counters, |message| message::read(message, Some(id))) {
                Ok(told) => stations.extend(told.into_iter().filter_map(|told| match told {
                    Told::Station(index, mac) => Some((index, mac)),
                    _ => None,
                })),
                // It went meanwhile, or its driver cannot tell.
                Err(error) if is_errno(&error, &[libc::ENODEV, libc::EOPNOTSUPP]) => {}
                Err(error) => return Err(error),
            }
        }
        for (interface, client) in self.seen.stations.difference(&stations).copied() {
            facts.push(Input::StationLeft { interface, client });
        }
        facts.extend(
            stations.iter().map(|&(interface, client)| Input::StationAssociated { interface, client }),
        );
        self.seen.stations = stations.into_iter().take(MAX_STATIONS).collect();
        Ok(facts)
    }

    /// The interface may have become one of another type: access points are made of station interfaces, and older kernels do not
    /// announce it. Its type is asked for when it matters.
    pub(super) fn link_changed(&mut self, index: IfIndex) {
        self.seen.interfaces.remove(&index);
    }

    /// Begins to hear the family.
    fn meet(&mut self, family: Family) -> io::Result<()> {
        if self.seen.family.as_ref() != Some(&family) {
            self.events.join(&family.groups)?;
            self.seen.family = Some(family);
        }
        Ok(())
    }

    /// Asks for the type of an interface. Where the kernel does not say, nothing of it is believed.
    fn ask_for(&mut self, index: IfIndex, scratch: &mut [u8], counters: &mut Counters) {
        let Some(id) = self.seen.family.as_ref().map(|family| family.id) else { return };
        let question =
            Question { family: id, command: command::GET_INTERFACE, interface: Some(index), dump: false };
        let told = self.requests.ask(question, scratch, counters, |message| message::read(message, Some(id)));
        for told in told.unwrap_or_default() {
            self.seen.take_in(told, &mut |_| ());
        }
    }
}

/// What is known of wireless interfaces and their stations.
#[derive(Default)]
struct Seen {
    /// nl80211, where it exists and its groups are heard.
    family: Option<Family>,
    interfaces: BTreeMap<IfIndex, Interface>,
    /// The stations of access points.
    stations: BTreeSet<(IfIndex, Mac)>,
}

impl Seen {
    /// Takes in what a message told and tells what follows from it.
    fn take_in(&mut self, told: Told, tell: &mut dyn FnMut(Input)) {
        match told {
            Told::Family(_) => {}
            Told::FamilyGone => {
                self.family = None;
                self.interfaces.clear();
                self.forget(|_| true, tell);
            }
            Told::Interface(index, interface) => {
                if self.interfaces.len() >= MAX_INTERFACES && !self.interfaces.contains_key(&index) {
                    self.interfaces.clear();
                }
                self.interfaces.insert(index, interface);
            }
            Told::InterfaceGone(index) => {
                self.interfaces.remove(&index);
                self.forget(|of| of == index, tell);
            }
            Told::Station(interface, client) => {
                let kind = self.interfaces.get(&interface).map(|interface| interface.kind);
                if matches!(kind, Some(Kind::AccessPoint | Kind::AccessPointVlan)) {
                    if self.stations.len() < MAX_STATIONS {
                        self.stations.insert((interface, client));
                    }
                    tell(Input::StationAssociated { interface, client });
                }
            }
            Told::StationGone(index, client) => {
                for interface in self.told_of(index) {
                    self.stations.remove(&(interface, client));
                    tell(Input::StationLeft { interface, client });
                }
            }
        }
    }

    /// Where a station that left the interface may have been told to be, the interface itself last: a station of an access point's
    /// VLAN came to the access point, and its move to the VLAN is not announced.
    fn told_of(&self, index: IfIndex) -> Vec<IfIndex> {
        let mut all = Vec::new();
        let own = self.interfaces.get(&index).filter(|own| own.kind == Kind::AccessPointVlan);
        if let Some(mac) = own.and_then(|own| own.mac) {
            let is_parent = |other: &Interface| other.kind == Kind::AccessPoint && other.mac == Some(mac);
            all.extend(
                self.interfaces.iter().filter(|(_, other)| is_parent(other)).map(|(parent, _)| *parent),
            );
        }
        all.push(index);
        all
    }

    fn forget(&mut self, of: impl Fn(IfIndex) -> bool, tell: &mut dyn FnMut(Input)) {
        self.stations.retain(|&(interface, client)| {
            let gone = of(interface);
            if gone {
                tell(Input::StationLeft { interface, client });
            }
            !gone
        });
    }

    fn access_points(&self) -> Vec<IfIndex> {
        let all = self.interfaces.iter().filter(|(_, interface)| interface.kind != Kind::Other);
        all.map(|(index, _)| *index).collect()
    }
}
