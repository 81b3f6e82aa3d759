//! The intercom packets: what nodes say to one another.
//!
//! The format stands in the [module's head](super).

use std::hash::Hasher;
use std::net::Ipv6Addr;

use super::codec::{Reader, Short, TlvError, Writer};
use crate::net::Mac;

pub use super::extension::{Capabilities, Flags, Tail};

/// The UDP port of the intercom, at both ends.
pub const PORT: u16 = 5523;
/// The multicast group of the intercom.
pub const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x5523);
/// The ttl of a packet that is flooded.
pub const TTL_FLOOD: u8 = 255;
/// The ttl of a unicast packet.
pub const TTL_UNICAST: u8 = 1;
/// How many addresses fit one basic TLV (`INFO_MAX` of the C daemon).
pub const ADDRESSES_PER_TLV: usize = 15;

/// One packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// How often it may still be forwarded, itself included: 1 on unicast, 255 on a new flood.
    pub ttl: u8,
    /// What the sender understands.
    pub capabilities: Capabilities,
    /// Random; with sender, type and content it identifies a flooded packet.
    pub nonce: u32,
    /// The node that made the packet (not the one that forwarded it).
    pub sender: Ipv6Addr,
    /// The meaning.
    pub body: Body,
}

/// What a packet says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Who has this address?
    Seek {
        /// The address sought; an IPv4 address mapped into the IPv4 prefix.
        address: Ipv6Addr,
        /// The extension.
        tail: Tail,
    },
    /// The client is here now: hand it over.
    Claim {
        /// Who.
        client: Mac,
        /// The extension.
        tail: Tail,
    },
    /// The client's addresses.
    Info {
        /// The PLAT prefix of the sender and its lease in seconds. `None` where the packet said none, or said the
        /// unspecified prefix with lease 0, which is how a node without one fills the TLV. (So that very [`Plat`] is never
        /// parsed; emitting it gives the bytes of `None`.)
        plat: Option<Plat>,
        /// Who.
        client: Mac,
        /// Its addresses, IPv4 ones mapped into the IPv4 prefix.
        addresses: Vec<Ipv6Addr>,
        /// The extension; carried inside the PLAT TLV.
        tail: Tail,
    },
    /// INFO has come.
    Ack {
        /// Who.
        client: Mac,
        /// The extension.
        tail: Tail,
    },
    /// A client's packet, passed on by a node that no longer serves it.
    Relay {
        /// How often it has been relayed.
        hops: u8,
        /// The number of the stay by which the sender handed the client over.
        sequence: u32,
        /// The client's packet from its IP header on.
        packet: Vec<u8>,
    },
}

/// The PLAT part of INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plat {
    /// Seconds; 0 today.
    pub lease: u16,
    /// The NAT64 prefix of the sender's exit; unspecified where it has none.
    pub prefix: Ipv6Addr,
}

impl Plat {
    /// What stands in the TLV of a node that has no PLAT prefix.
    const NONE: Self = Self { lease: 0, prefix: Ipv6Addr::UNSPECIFIED };
}

/// Why a datagram is no packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Shorter than the header or a TLV says.
    #[error("truncated")]
    Truncated,
    /// A version other than 0.
    #[error("version {0}")]
    UnsupportedVersion(u8),
    /// A type that we do not know.
    #[error("type {0}")]
    UnknownType(u8),
    /// A TLV whose length cannot be.
    #[error("TLV {tlv} has a bad length")]
    BadLength {
        /// The TLV's type.
        tlv: u8,
    },
    /// The TLV that carries the meaning is not there.
    #[error("a TLV is missing")]
    Missing,
    /// ttl 0: must not have been sent.
    #[error("ttl 0")]
    TtlZero,
}

impl From<Short> for ParseError {
    fn from(Short: Short) -> Self {
        Self::Truncated
    }
}

impl From<TlvError> for ParseError {
    fn from(error: TlvError) -> Self {
        match error {
            TlvError::Short => Self::Truncated,
            TlvError::BelowHead { kind } => Self::BadLength { tlv: kind },
        }
    }
}

const VERSION: u8 = 0;
/// DSCP CS6, network control (RFC 4594 § 3.1), which babeld gives its messages, too.
const NETWORK_CONTROL: u8 = 0xc0;
const HEADER_LENGTH: usize = 24;
/// Where the ttl stands: the one byte that a forwarder changes.
const TTL_OFFSET: usize = 1;

/// Packet types.
mod kind {
    pub(super) const SEEK: u8 = 0;
    pub(super) const CLAIM: u8 = 1;
    pub(super) const INFO: u8 = 2;
    pub(super) const ACK: u8 = 3;
    pub(super) const RELAY: u8 = 4;
}

/// TLV types; a name space of its own for every packet type.
mod tlv {
    /// The address of SEEK.
    pub(super) const ADDRESS: u8 = 0;
    /// The client of CLAIM and of ACK.
    pub(super) const MAC: u8 = 0;
    pub(super) const PLAT: u8 = 0;
    pub(super) const BASIC: u8 = 1;
}

/// Reads a datagram.
///
/// Of a TLV that occurs again the last one counts, except that basic TLVs of INFO add up. Unknown TLVs are skipped. The
/// result is bounded by the datagram: it holds at most one address per 16 bytes.
///
/// # Errors
/// Where it is no packet of version 0 that we understand.
pub fn parse(datagram: &[u8]) -> Result<Packet, ParseError> {
    let mut reader = Reader::new(datagram);
    // The version comes first: of any other we do not even know what a header is.
    let version = reader.u8()?;
    if version != VERSION {
        return Err(ParseError::UnsupportedVersion(version));
    }
    let ttl = reader.u8()?;
    let kind = reader.u8()?;
    let capabilities = Capabilities(reader.u8()?);
    let nonce = reader.u32()?;
    let sender = Ipv6Addr::from(reader.array::<16>()?);
    if ttl == 0 {
        return Err(ParseError::TtlZero);
    }
    let body = match kind {
        kind::SEEK => parse_seek(reader)?,
        kind::CLAIM => {
            let (client, tail) = parse_client(reader)?;
            Body::Claim { client, tail }
        }
        kind::INFO => parse_info(reader)?,
        kind::ACK => {
            let (client, tail) = parse_client(reader)?;
            Body::Ack { client, tail }
        }
        kind::RELAY => parse_relay(reader)?,
        other => return Err(ParseError::UnknownType(other)),
    };
    Ok(Packet { ttl, capabilities, nonce, sender, body })
}

fn parse_seek(mut reader: Reader<'_>) -> Result<Body, ParseError> {
    let mut found = None;
    while !reader.is_empty() {
        let (kind, value) = reader.tlv()?;
        if kind == tlv::ADDRESS {
            let mut value = Reader::new(value);
            let bad = |Short| ParseError::BadLength { tlv: kind };
            let _reserved = value.u16().map_err(bad)?;
            let address = Ipv6Addr::from(value.array::<16>().map_err(bad)?);
            found = Some((address, Tail::parse(value.rest())));
        }
    }
    let (address, tail) = found.ok_or(ParseError::Missing)?;
    Ok(Body::Seek { address, tail })
}

/// The MAC TLV of CLAIM and ACK.
fn parse_client(mut reader: Reader<'_>) -> Result<(Mac, Tail), ParseError> {
    let mut found = None;
    while !reader.is_empty() {
        let (kind, value) = reader.tlv()?;
        if kind == tlv::MAC {
            let mut value = Reader::new(value);
            let mac = Mac(value.array().map_err(|Short| ParseError::BadLength { tlv: kind })?);
            found = Some((mac, Tail::parse(value.rest())));
        }
    }
    found.ok_or(ParseError::Missing)
}

fn parse_info(mut reader: Reader<'_>) -> Result<Body, ParseError> {
    let mut plat = None;
    let mut tail = Tail::default();
    let mut named = None;
    let mut addresses = Vec::new();
    while !reader.is_empty() {
        let (kind, value) = reader.tlv()?;
        let bad = |Short| ParseError::BadLength { tlv: kind };
        let mut value = Reader::new(value);
        match kind {
            tlv::PLAT => {
                let lease = value.u16().map_err(bad)?;
                let prefix = Ipv6Addr::from(value.array::<16>().map_err(bad)?);
                plat = Some(Plat { lease, prefix }).filter(|plat| *plat != Plat::NONE);
                tail = Tail::parse(value.rest());
            }
            tlv::BASIC => {
                let client = Mac(value.array().map_err(bad)?);
                // A packet speaks of one client. The C daemon would give the addresses of all to the last one named.
                let about_it = *named.get_or_insert(client) == client;
                while !value.is_empty() {
                    let address = Ipv6Addr::from(value.array::<16>().map_err(bad)?);
                    if about_it {
                        addresses.push(address);
                    }
                }
            }
            _ => {}
        }
    }
    let client = named.ok_or(ParseError::Missing)?;
    Ok(Body::Info { plat, client, addresses, tail })
}

fn parse_relay(mut reader: Reader<'_>) -> Result<Body, ParseError> {
    let hops = reader.u8()?;
    let _reserved: [u8; 3] = reader.array()?;
    let sequence = reader.u32()?;
    Ok(Body::Relay { hops, sequence, packet: reader.rest().to_vec() })
}

/// Writes a packet.
///
/// Addresses beyond what fits one basic TLV ([`ADDRESSES_PER_TLV`]) go into further ones, which a C daemon must not be
/// sent; nor must it be sent RELAY, or an INFO of more than four addresses, which crashes it (it formats the client into
/// 256 bytes). Without a tail and without capabilities the bytes are those of the C daemon.
pub fn emit(packet: &Packet) -> Vec<u8> {
    let Packet { ttl, capabilities, nonce, sender, body } = packet;
    let mut writer = Writer::with_capacity(HEADER_LENGTH + body_capacity(body));
    writer.u8(VERSION);
    writer.u8(*ttl);
    writer.u8(match body {
        Body::Seek { .. } => kind::SEEK,
        Body::Claim { .. } => kind::CLAIM,
        Body::Info { .. } => kind::INFO,
        Body::Ack { .. } => kind::ACK,
        Body::Relay { .. } => kind::RELAY,
    });
    writer.u8(capabilities.0);
    writer.u32(*nonce);
    writer.bytes(&sender.octets());
    match body {
        Body::Seek { address, tail } => writer.tlv(tlv::ADDRESS, |w| {
            w.u16(0);
            w.bytes(&address.octets());
            tail.emit(w);
        }),
        Body::Claim { client, tail } | Body::Ack { client, tail } => writer.tlv(tlv::MAC, |w| {
            w.bytes(&client.0);
            tail.emit(w);
        }),
        Body::Info { plat, client, addresses, tail } => {
            let Plat { lease, prefix } = plat.unwrap_or(Plat::NONE);
            writer.tlv(tlv::PLAT, |w| {
                w.u16(lease);
                w.bytes(&prefix.octets());
                tail.emit(w);
            });
            emit_basic(&mut writer, *client, addresses);
        }
        Body::Relay { hops, sequence, packet } => {
            writer.u8(*hops);
            writer.bytes(&[0; 3]);
            writer.u32(*sequence);
            writer.bytes(packet);
        }
    }
    writer.into_bytes()
}

/// The basic TLVs: one even where there is no address, since it is what names the client.
fn emit_basic(writer: &mut Writer, client: Mac, addresses: &[Ipv6Addr]) {
    let (first, further) = addresses.split_at(addresses.len().min(ADDRESSES_PER_TLV));
    for part in std::iter::once(first).chain(further.chunks(ADDRESSES_PER_TLV)) {
        writer.tlv(tlv::BASIC, |w| {
            w.bytes(&client.0);
            for address in part {
                w.bytes(&address.octets());
            }
        });
    }
}

/// Enough that writing does not allocate again.
fn body_capacity(body: &Body) -> usize {
    match body {
        Body::Seek { .. } | Body::Claim { .. } | Body::Ack { .. } => 48,
        Body::Info { addresses, .. } => 56 + addresses.len() * 17,
        Body::Relay { packet, .. } => 8 + packet.len(),
    }
}

/// The traffic class (RFC 8200 § 7) under which a datagram leaves. On a full link a CLAIM that waits behind the client's own packets makes
/// the old node send more of them to where the client is no longer; Wi-Fi carries this class before all others. RELAY carries
/// packets of clients, which are no better than any.
pub fn traffic_class(datagram: &[u8]) -> u8 {
    match datagram {
        [VERSION, _, kind::RELAY, ..] => 0,
        _ => NETWORK_CONTROL,
    }
}

/// Counts one hop on a flooded datagram; `false` where it must not be forwarded: the ttl is used up, it is no packet of
/// version 0, or it is a RELAY, which is unicast only.
///
/// A ttl of 0 stays 0. (The C daemon counts it down to 255.)
pub fn decrement_ttl(datagram: &mut [u8]) -> bool {
    let [VERSION, ttl, kind, ..] = datagram else { return false };
    if *kind == kind::RELAY {
        return false;
    }
    *ttl = ttl.saturating_sub(1);
    *ttl > 0 && datagram.len() >= HEADER_LENGTH
}

/// What identifies a flooded datagram for the suppression of duplicates: a hash of everything but the ttl, so of
/// sender, type, nonce and content.
///
/// The same within one build of the daemon; not meant to be stored or sent. (The C daemon compares type and nonce
/// alone, and its nonce is the same for the life of a process, so that its nodes ignore all but the first packet of a type.)
pub fn flood_identity(datagram: &[u8]) -> u64 {
    let (before, rest) = datagram.split_at(datagram.len().min(TTL_OFFSET));
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(before);
    hasher.write(rest.get(1..).unwrap_or_default());
    hasher.finish()
}

#[cfg(test)]
mod tests;
