//! ARP, RFC 826, for IPv4 on Ethernet.

use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket};
use pnet_packet::ethernet::EtherTypes;

use super::{FrameContent, FrameError};
use crate::net::Mac;

/// Length of an Ethernet address.
pub(super) const HARDWARE_LENGTH: u8 = 6;
/// Length of an IPv4 address.
pub(super) const PROTOCOL_LENGTH: u8 = 4;

/// Reads an ARP packet from the station `source`.
pub(super) fn parse(source: Mac, packet: &[u8]) -> Result<Vec<FrameContent>, FrameError> {
    let arp = ArpPacket::new(packet).ok_or(FrameError::Truncated)?;
    // Pnet does not look at the lengths and would read other sizes wrongly.
    if arp.get_hardware_type() != ArpHardwareTypes::Ethernet
        || arp.get_protocol_type() != EtherTypes::Ipv4
        || arp.get_hw_addr_len() != HARDWARE_LENGTH
        || arp.get_proto_addr_len() != PROTOCOL_LENGTH
    {
        return Err(FrameError::Invalid);
    }
    let request = match arp.get_operation() {
        ArpOperations::Request => true,
        ArpOperations::Reply => false,
        _ => return Err(FrameError::NotOfInterest),
    };
    // Who speaks for another is not the one who has the address.
    if Mac(arp.get_sender_hw_addr().octets()) != source {
        return Err(FrameError::Invalid);
    }
    let sender = arp.get_sender_proto_addr();
    Ok(vec![if request && sender.is_unspecified() {
        FrameContent::WantsToUse(arp.get_target_proto_addr().into())
    } else {
        FrameContent::Uses(sender.into())
    }])
}
