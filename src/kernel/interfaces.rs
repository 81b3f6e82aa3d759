//! What is known of this node's interfaces, as far as probes need it: MAC and addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::Address;
use crate::net::{IfIndex, Mac, is_link_local};

/// The interfaces that exist.
#[derive(Default)]
pub(super) struct Interfaces(BTreeMap<IfIndex, Interface>);

#[derive(Default)]
struct Interface {
    mac: Option<Mac>,
    addresses: Vec<Address>,
}

impl Interfaces {
    /// Which exist.
    pub(super) fn indices(&self) -> Vec<IfIndex> {
        self.0.keys().copied().collect()
    }

    /// Forgets all addresses, before a dump.
    pub(super) fn forget_addresses(&mut self) {
        for interface in self.0.values_mut() {
            interface.addresses.clear();
        }
    }

    /// An interface exists.
    pub(super) fn link_seen(&mut self, index: IfIndex, mac: Option<Mac>) {
        self.0.entry(index).or_default().mac = mac;
    }

    /// An interface is gone.
    pub(super) fn link_gone(&mut self, index: IfIndex) {
        self.0.remove(&index);
    }

    /// An interface has an address.
    pub(super) fn address_seen(&mut self, address: Address) {
        self.address_gone(&address);
        self.0.entry(address.interface).or_default().addresses.push(address);
    }

    /// An interface has lost an address.
    pub(super) fn address_gone(&mut self, address: &Address) {
        if let Some(interface) = self.0.get_mut(&address.interface) {
            interface.addresses.retain(|a| (a.address, a.length) != (address.address, address.length));
        }
    }

    /// The MAC of an interface.
    pub(super) fn mac(&self, index: IfIndex) -> Option<Mac> {
        self.0.get(&index)?.mac
    }

    /// The source of a neighbour solicitation: the interface's link-local address, or what it would be by its MAC.
    pub(super) fn link_local(&self, index: IfIndex) -> Option<Ipv6Addr> {
        let interface = self.0.get(&index)?;
        let configured = interface.addresses.iter().find_map(|a| match a.address {
            IpAddr::V6(address) if !a.tentative && is_link_local(a.address) => Some(address),
            _ => None,
        });
        configured.or_else(|| interface.mac.map(Mac::link_local))
    }

    /// Addresses of the interface beyond the link, one for each /64 and two at most.
    pub(super) fn beyond_link(&self, index: IfIndex) -> Vec<Ipv6Addr> {
        let mut found: Vec<Ipv6Addr> = Vec::new();
        for a in self.0.get(&index).map_or(&[][..], |interface| &interface.addresses) {
            let IpAddr::V6(address) = a.address else { continue };
            let known = found.iter().any(|other| other.octets()[..8] == address.octets()[..8]);
            if !a.tentative && !is_link_local(a.address) && !known && found.len() < 2 {
                found.push(address);
            }
        }
        found
    }

    /// The addresses of the interface that are in use.
    pub(super) fn addresses(&self, index: IfIndex) -> impl Iterator<Item = IpAddr> + '_ {
        let known = self.0.get(&index).map_or(&[][..], |interface| &interface.addresses);
        known.iter().filter(|a| !a.tentative).map(|a| a.address)
    }

    /// The sender of an ARP request for `target`: an address of the interface whose prefix contains the target, else any of
    /// the interface, else 0.0.0.0, which makes it an ARP probe (RFC 5227 section 2.1.1).
    pub(super) fn sender_for(&self, index: IfIndex, target: Ipv4Addr) -> Ipv4Addr {
        let mut found = Ipv4Addr::UNSPECIFIED;
        for a in self.0.get(&index).map_or(&[][..], |interface| &interface.addresses) {
            let IpAddr::V4(address) = a.address else { continue };
            if same_prefix(address, target, a.length) {
                return address;
            }
            if found.is_unspecified() {
                found = address;
            }
        }
        found
    }
}

fn same_prefix(a: Ipv4Addr, b: Ipv4Addr, length: u8) -> bool {
    (a.to_bits() ^ b.to_bits()).checked_shr(32 - u32::from(length.min(32))).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_comes_from_the_prefix_of_its_target() {
        let index = IfIndex(3);
        let mut interfaces = Interfaces::default();
        let target = Ipv4Addr::new(10, 1, 2, 3);
        assert_eq!(interfaces.sender_for(index, target), Ipv4Addr::UNSPECIFIED);
        for (text, length) in [("192.0.2.1", 24), ("10.1.0.1", 16)] {
            let address = text.parse().unwrap();
            interfaces.address_seen(Address { interface: index, address, length, tentative: false });
        }
        assert_eq!(interfaces.sender_for(index, target), Ipv4Addr::new(10, 1, 0, 1));
        assert_eq!(interfaces.sender_for(index, Ipv4Addr::new(172, 16, 0, 1)), Ipv4Addr::new(192, 0, 2, 1));
    }

    #[test]
    fn one_address_speaks_for_each_prefix_beyond_the_link() {
        let index = IfIndex(3);
        let mut interfaces = Interfaces::default();
        for (text, tentative) in [
            ("fe80::1", false),
            ("2001:db8:1::1", true),
            ("fd00::1", false),
            ("fd00::2", false),
            ("2001:db8::1", false),
        ] {
            let address = text.parse().unwrap();
            interfaces.address_seen(Address { interface: index, address, length: 64, tentative });
        }
        let expected: [Ipv6Addr; 2] = ["fd00::1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(interfaces.beyond_link(index), expected);
        assert!(interfaces.beyond_link(IfIndex(4)).is_empty());
    }

    #[test]
    fn a_solicitation_comes_from_the_link_local_address() {
        let index = IfIndex(3);
        let mut interfaces = Interfaces::default();
        assert_eq!(interfaces.link_local(index), None);
        interfaces.link_seen(index, Some(Mac([2, 0, 0, 0, 0, 1])));
        let by_mac: Ipv6Addr = "fe80::ff:fe00:1".parse().unwrap();
        assert_eq!(interfaces.link_local(index), Some(by_mac));
        let mut address =
            Address { interface: index, address: "fe80::1".parse().unwrap(), length: 64, tentative: true };
        interfaces.address_seen(address);
        assert_eq!(interfaces.link_local(index), Some(by_mac));
        address.tentative = false;
        interfaces.address_seen(address);
        assert_eq!(interfaces.link_local(index), Some("fe80::1".parse().unwrap()));
        interfaces.address_gone(&address);
        assert_eq!(interfaces.link_local(index), Some(by_mac));
    }
}
