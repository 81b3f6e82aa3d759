//! Multicast listener reports, RFC 2710 and RFC 3810: a host joins one solicited-node group for every low 24 bits of its
//! addresses, so that its report names them all.

use std::net::Ipv6Addr;

use pnet_packet::icmpv6::Icmpv6Type;

use super::ndp::solicited_suffix;
use super::{FrameContent, FrameError, Message};
use crate::net::is_link_local;
use crate::wire::codec::Reader;

pub(super) const QUERY: Icmpv6Type = Icmpv6Type(130);
pub(super) const REPORT_V1: Icmpv6Type = Icmpv6Type(131);
pub(super) const REPORT_V2: Icmpv6Type = Icmpv6Type(143);

/// So many groups of a report count. No client has so many addresses, but a report of 1500 bytes can name 72.
const MOST_GROUPS: usize = 64;

/// The hop limit of MLD (RFC 3810 section 5).
pub(super) const HOP_LIMIT: u8 = 1;

/// Record types (RFC 3810 section 5.2.12).
mod record {
    pub(super) const MODE_IS_INCLUDE: u8 = 1;
    pub(super) const MODE_IS_EXCLUDE: u8 = 2;
    pub(super) const CHANGE_TO_INCLUDE: u8 = 3;
    pub(super) const CHANGE_TO_EXCLUDE: u8 = 4;
    pub(super) const ALLOW_NEW_SOURCES: u8 = 5;
}

/// A report of version 1: one group (RFC 2710 section 3).
pub(super) fn report_v1(message: &Message<'_>) -> Result<Vec<FrameContent>, FrameError> {
    let mut reader = checked(message)?;
    let _delay_and_reserved = reader.u32()?;
    let group = Ipv6Addr::from(reader.array::<16>()?);
    Ok(contents(message, solicited_suffix(group).into_iter().collect()))
}

/// A report of version 2: records (RFC 3810 section 5.2).
pub(super) fn report_v2(message: &Message<'_>) -> Result<Vec<FrameContent>, FrameError> {
    let mut reader = checked(message)?;
    let _reserved = reader.u16()?;
    let records = reader.u16()?;
    let mut suffixes = Vec::new();
    for _ in 0..records {
        let kind = reader.u8()?;
        // In units of four bytes.
        let auxiliary = usize::from(reader.u8()?) * 4;
        let sources = usize::from(reader.u16()?);
        let group = Ipv6Addr::from(reader.array::<16>()?);
        reader.take(sources * 16 + auxiliary)?;
        let listens = match kind {
            // All sources but those named.
            record::MODE_IS_EXCLUDE | record::CHANGE_TO_EXCLUDE => true,
            // None but those named; without any it is how a host leaves.
            record::MODE_IS_INCLUDE | record::CHANGE_TO_INCLUDE | record::ALLOW_NEW_SOURCES => sources > 0,
            _ => false,
        };
        if let Some(suffix) = solicited_suffix(group).filter(|_| listens && suffixes.len() < MOST_GROUPS) {
            suffixes.push(suffix);
        }
    }
    Ok(contents(message, suffixes))
}

fn contents(message: &Message<'_>, suffixes: Vec<[u8; 3]>) -> Vec<FrameContent> {
    // An unspecified source, that of a host without an address yet, is dropped with all others that no host has.
    vec![FrameContent::Uses(message.source.into()), FrameContent::ListensTo(suffixes)]
}

/// What follows type, code and checksum, where the rules for both versions hold: hop limit 1, and a source that is
/// link-local, or unspecified while there is none (RFC 3590 section 4, RFC 3810 section 5.2.13). The code is not looked
/// at, as both want it.
fn checked<'a>(message: &Message<'a>) -> Result<Reader<'a>, FrameError> {
    let source = message.source;
    if message.hop_limit != HOP_LIMIT || !(source.is_unspecified() || is_link_local(source.into())) {
        return Err(FrameError::Invalid);
    }
    let mut reader = Reader::new(message.bytes);
    let _type_code_checksum = reader.u32()?;
    Ok(reader)
}
