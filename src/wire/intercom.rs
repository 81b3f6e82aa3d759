//! The intercom packets: what nodes say to one another.

use std::net::Ipv6Addr;

use crate::net::Mac;

/// The UDP port of the intercom, at both ends.
pub const PORT: u16 = 5523;
/// The multicast group of the intercom.
pub const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x5523);
/// The ttl of a packet that is flooded.
pub const TTL_FLOOD: u8 = 255;
/// The ttl of a unicast packet.
pub const TTL_UNICAST: u8 = 1;

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
        /// The PLAT prefix of the sender and its lease in seconds, where the packet carried one.
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

/// The header's reserved byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities(pub u8);

impl Capabilities {
    /// Bit 0: understands tails. A sender without it is treated as a C daemon.
    pub const TAILS: Self = Self(1);
    /// Bit 1: accepts RELAY.
    pub const RELAY: Self = Self(2);

    /// Whether the sender has all of `other`.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What is appended inside a known TLV. Everything absent by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tail {
    /// AGE: milliseconds since the sender's evidence of the client.
    pub age_ms: Option<u32>,
    /// SEQ: the number of the stay.
    pub sequence: Option<u32>,
    /// HOPS: how often a claim was passed on.
    pub hops: Option<u8>,
    /// FLAGS.
    pub flags: Flags,
    /// A tail stood there but could not be read (and was ignored). Never emitted.
    pub broken: bool,
}

/// FLAGS of the tail; the item is absent where none is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// The answer is from memory: it gives addresses but does not settle the claim.
    pub const FROM_MEMORY: Self = Self(1);
    /// Refused: the client is alive here.
    pub const REFUSED: Self = Self(2);

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
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

/// Reads a datagram.
///
/// # Errors
/// Where it is no packet of version 0 that we understand.
pub fn parse(_datagram: &[u8]) -> Result<Packet, ParseError> {
    Err(ParseError::Truncated)
}

/// Writes a packet.
///
/// Addresses beyond what fits one basic TLV (15) go into further ones, which a C daemon must not be sent.
pub fn emit(_packet: &Packet) -> Vec<u8> {
    Vec::new()
}
