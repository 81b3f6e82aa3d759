//! Ethernet frames of neighbour discovery: what clients say about themselves, and what we ask them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::Mac;

/// What a frame says about its sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameContent {
    /// The sender uses this address: it is the source of a neighbour or router solicitation, of an MLD report or an echo
    /// reply, the target of an advertisement, or the sender address of an ARP packet.
    Uses(IpAddr),
    /// The sender is about to use this address: duplicate address detection (RFC 4862 section 5.4) or an
    /// ARP probe (RFC 5227 section 2.1.1).
    WantsToUse(IpAddr),
    /// The sender listens to these solicited-node groups: the low 24 bits of its IPv6 addresses (MLD report).
    ListensTo(Vec<[u8; 3]>),
}

/// A frame that says something about its sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The Ethernet source.
    pub source: Mac,
    /// What it says, in the order of the frame; at least one entry.
    pub contents: Vec<FrameContent>,
}

/// Why a frame says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Shorter than its headers say.
    #[error("truncated")]
    Truncated,
    /// Not neighbour discovery, MLD, echo reply or ARP.
    #[error("of no interest")]
    NotOfInterest,
    /// Breaks a rule of its RFC that makes it invalid (hop limit, code, option of length 0, checksum, addresses).
    #[error("invalid")]
    Invalid,
}

/// Reads an Ethernet frame.
///
/// # Errors
/// Where the frame says nothing about its sender.
pub fn parse(_frame: &[u8]) -> Result<Frame, FrameError> {
    Err(FrameError::NotOfInterest)
}

/// A neighbour solicitation for `target`, framed to `client` (RFC 6085) or, without one, to ff02::1 (flooded by
/// every snooping bridge).
pub fn neighbour_solicitation(
    _from: Mac,
    _source: Ipv6Addr,
    _target: Ipv6Addr,
    _client: Option<Mac>,
) -> Vec<u8> {
    Vec::new()
}

/// An ARP request for `target`, framed to `client` or, without one, to everybody.
pub fn arp_request(_from: Mac, _source: Ipv4Addr, _target: Ipv4Addr, _client: Option<Mac>) -> Vec<u8> {
    Vec::new()
}

/// An MLDv2 general query framed to `client`, which makes it name the low 24 bits of all its addresses.
pub fn mld_query(_from: Mac, _source: Ipv6Addr, _client: Mac) -> Vec<u8> {
    Vec::new()
}

/// An ICMPv6 echo request to ff02::1 framed to `client`.
pub fn echo_request(_from: Mac, _source: Ipv6Addr, _client: Mac) -> Vec<u8> {
    Vec::new()
}
