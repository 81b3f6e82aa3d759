//! Generic netlink datagrams to what they tell: families, wireless interfaces, stations.
//!
//! Total: whatever the bytes, nothing panics. The lengths of messages are checked here, before anything is given to neli, whose
//! own reading of a message header subtracts unchecked. neli's nl80211 attributes lack IFINDEX and MAC, so the numbers are ours.

use std::io::Cursor;

use neli::FromBytes;
use neli::genl::Nlattr;
use neli::types::Buffer;
use netlink_packet_core::NetlinkBuffer;

use crate::kernel::facts::mac_of;
use crate::net::{IfIndex, Mac};

/// The controller's family (GENL_ID_CTRL); its multicast group `notify` has the same number.
pub(super) const CONTROLLER: u16 = 0x10;

/// Commands and attributes of the controller (linux/genetlink.h).
pub(super) mod controller {
    pub(in super::super) const NEW_FAMILY: u8 = 1;
    pub(in super::super) const DELETE_FAMILY: u8 = 2;
    pub(in super::super) const GET_FAMILY: u8 = 3;
    pub(super) const FAMILY_ID: u16 = 1;
    pub(super) const FAMILY_NAME: u16 = 2;
    pub(super) const GROUPS: u16 = 7;
    pub(super) const GROUP_NAME: u16 = 1;
    pub(super) const GROUP_ID: u16 = 2;
}

/// Commands of nl80211 (linux/nl80211.h).
pub(super) mod command {
    pub(in super::super) const GET_INTERFACE: u8 = 5;
    pub(in super::super) const SET_INTERFACE: u8 = 6;
    pub(in super::super) const NEW_INTERFACE: u8 = 7;
    pub(in super::super) const DELETE_INTERFACE: u8 = 8;
    pub(in super::super) const GET_STATION: u8 = 17;
    pub(in super::super) const NEW_STATION: u8 = 19;
    pub(in super::super) const DELETE_STATION: u8 = 20;
}

/// Attributes of nl80211.
pub(super) mod attribute {
    pub(in super::super) const INTERFACE_INDEX: u16 = 3;
    pub(in super::super) const INTERFACE_TYPE: u16 = 5;
    pub(in super::super) const MAC: u16 = 6;
}

/// Interface types of nl80211 whose stations may be clients.
const TYPE_ACCESS_POINT: u32 = 3;
const TYPE_ACCESS_POINT_VLAN: u32 = 4;

/// The name of the family.
const NAME: &[u8] = b"nl80211";
/// Its groups: interfaces that come, change and go; stations.
const GROUPS: [&[u8]; 2] = [b"config", b"mlme"];

/// What a wireless interface is for, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// An access point: its stations are clients where it is a client's port.
    AccessPoint,
    /// An interface of its own for some stations of an access point (WDS, dynamic VLANs).
    AccessPointVlan,
    /// A mesh point, a monitor, a station, anything else: its stations are no clients.
    Other,
}

/// The family, as it is registered now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Family {
    /// Its number: the type of its messages.
    pub(super) id: u16,
    /// The numbers of the groups that we follow.
    pub(super) groups: Vec<u32>,
}

/// A wireless interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Interface {
    /// What it is for.
    pub(super) kind: Kind,
    /// Its own address, by which the VLANs of an access point are told to be its.
    pub(super) mac: Option<Mac>,
}

/// What a message tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// nl80211 is there.
    Family(Family),
    /// nl80211 is gone.
    FamilyGone,
    /// A wireless interface exists or has changed.
    Interface(IfIndex, Interface),
    /// A wireless interface is gone.
    InterfaceGone(IfIndex),
    /// An interface has a station.
    Station(IfIndex, Mac),
    /// An interface has a station no more.
    StationGone(IfIndex, Mac),
}

/// A message, or an attribute that its meaning needs, is missing, too short or too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// One message of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Message<'a> {
    /// The family's number, or NLMSG_ERROR, NLMSG_DONE.
    pub(super) kind: u16,
    /// NLM_F_*.
    pub(super) flags: u16,
    /// That of the request it answers.
    pub(super) sequence: u32,
    /// What follows the netlink header.
    pub(super) payload: &'a [u8],
}

/// The messages of a datagram. What follows a malformed one cannot be found.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Ok(header) = NetlinkBuffer::new_checked(&rest) else {
            rest = &[];
            return Some(Err(Malformed));
        };
        // The checked header says at least 16 bytes, and not more than there are; so this ends.
        let length = header.length() as usize;
        let message = Message {
            kind: header.message_type(),
            flags: header.flags(),
            sequence: header.sequence_number(),
            payload: rest.get(16..length).unwrap_or(&[]),
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok(message))
    })
}

/// What a message tells; `None` where it is none of our business. `family` is nl80211's number, where it has one.
pub(super) fn read(message: &Message<'_>, family: Option<u16>) -> Result<Option<Told>, Malformed> {
    let ours = family == Some(message.kind);
    if message.kind != CONTROLLER && !ours {
        return Ok(None);
    }
    let Some(([command, ..], attributes)) = message.payload.split_first_chunk::<4>() else {
        return Err(Malformed);
    };
    let attributes = Attributes::read(attributes);
    if !ours {
        return family_of(*command, &attributes);
    }
    let station = || Ok((attributes.index()?, attributes.mac().ok_or(Malformed)?));
    Ok(Some(match *command {
        command::NEW_INTERFACE | command::SET_INTERFACE => {
            let Some(index) = attributes.interface_index()? else { return Ok(None) };
            Told::Interface(index, attributes.interface()?)
        }
        command::DELETE_INTERFACE => {
            let Some(index) = attributes.interface_index()? else { return Ok(None) };
            Told::InterfaceGone(index)
        }
        command::NEW_STATION => station().map(|(index, mac)| Told::Station(index, mac))?,
        command::DELETE_STATION => station().map(|(index, mac)| Told::StationGone(index, mac))?,
        _ => return Ok(None),
    }))
}

fn family_of(command: u8, attributes: &Attributes) -> Result<Option<Told>, Malformed> {
    if ![controller::NEW_FAMILY, controller::DELETE_FAMILY].contains(&command)
        || attributes.text(controller::FAMILY_NAME).ok_or(Malformed)? != NAME
    {
        return Ok(None);
    }
    if command == controller::DELETE_FAMILY {
        return Ok(Some(Told::FamilyGone));
    }
    let id = attributes.bytes(controller::FAMILY_ID).and_then(|bytes| bytes.try_into().ok());
    let id = id.map(u16::from_ne_bytes).ok_or(Malformed)?;
    let list = Attributes::read(attributes.bytes(controller::GROUPS).ok_or(Malformed)?);
    let mut groups = Vec::new();
    for group in list.0 {
        let group = Attributes::read(group.nla_payload().as_ref());
        let (Some(name), Some(id)) = (group.text(controller::GROUP_NAME), group.u32(controller::GROUP_ID))
        else {
            return Err(Malformed);
        };
        if GROUPS.contains(&name) {
            groups.push(id);
        }
    }
    // The kernel would take the groups of a family with fewer for those of another.
    if groups.len() == GROUPS.len() { Ok(Some(Told::Family(Family { id, groups }))) } else { Err(Malformed) }
}

/// The attributes of a message, as far as they are whole.
struct Attributes(Vec<Nlattr<u16, Buffer>>);

impl Attributes {
    fn read(bytes: &[u8]) -> Self {
        let mut cursor = Cursor::new(bytes);
        let mut all = Vec::new();
        while cursor.position() < bytes.len() as u64 {
            match Nlattr::from_bytes(&mut cursor) {
                Ok(attribute) => all.push(attribute),
                Err(_) => break,
            }
        }
        Self(all)
    }

    fn bytes(&self, kind: u16) -> Option<&[u8]> {
        self.0.iter().find(|a| *a.nla_type().nla_type() == kind).map(|a| a.nla_payload().as_ref())
    }

    fn u32(&self, kind: u16) -> Option<u32> {
        self.bytes(kind)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// A string without its terminating zero.
    fn text(&self, kind: u16) -> Option<&[u8]> {
        self.bytes(kind)?.split(|byte| *byte == 0).next()
    }

    fn mac(&self) -> Option<Mac> {
        self.bytes(attribute::MAC).and_then(mac_of)
    }

    fn index(&self) -> Result<IfIndex, Malformed> {
        self.u32(attribute::INTERFACE_INDEX).filter(|index| *index != 0).map(IfIndex).ok_or(Malformed)
    }

    /// `None` where there is none at all: a wireless device without network interface (P2P).
    fn interface_index(&self) -> Result<Option<IfIndex>, Malformed> {
        if self.bytes(attribute::INTERFACE_INDEX).is_none() { Ok(None) } else { self.index().map(Some) }
    }

    fn interface(&self) -> Result<Interface, Malformed> {
        let kind = match self.u32(attribute::INTERFACE_TYPE).ok_or(Malformed)? {
            TYPE_ACCESS_POINT => Kind::AccessPoint,
            TYPE_ACCESS_POINT_VLAN => Kind::AccessPointVlan,
            _ => Kind::Other,
        };
        Ok(Interface { kind, mac: self.mac() })
    }
}
