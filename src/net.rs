//! The words of the network that every module shares: MAC, prefix, interface index and name, client data that logs hide.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// The MAC address of a client or an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether this can be the address of one station: not zero, not a group address (IEEE 802 I/G bit).
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }

    /// The modified EUI-64 interface identifier (RFC 4291 appendix A), 8 bytes in network order.
    pub const fn eui64(self) -> [u8; 8] {
        let m = self.0;
        [m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]]
    }

    /// The link-local address that follows from this MAC (RFC 4291 section 2.5.6).
    pub fn link_local(self) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&[0xfe, 0x80]);
        octets[8..].copy_from_slice(&self.eui64());
        Ipv6Addr::from(octets)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not what it should be. Names the text and what was expected.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("'{value}' is not {expected}")]
pub struct InvalidValue {
    /// The text as it was given, shortened to 64 characters.
    pub value: String,
    /// What was expected, with an example.
    pub expected: &'static str,
}

impl InvalidValue {
    /// An error that names `value` and what was `expected`.
    pub fn new(value: &str, expected: &'static str) -> Self {
        Self { value: value.chars().take(64).collect(), expected }
    }
}

impl FromStr for Mac {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || InvalidValue::new(text, "a MAC address such as 02:00:5e:10:00:01");
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(invalid)?;
            if part.is_empty() || part.len() > 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_some() { Err(invalid()) } else { Ok(Self(octets)) }
    }
}

/// An address prefix of either family, without host bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix of `length` bits at `address`.
    ///
    /// # Errors
    /// Where `length` is more than the family has bits, or `address` has bits set behind it.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, InvalidValue> {
        let name = || format!("{address}/{length}");
        if length > Self::bits(address) {
            return Err(InvalidValue::new(&name(), "a prefix of at most 32 (IPv4) or 128 (IPv6) bits"));
        }
        let prefix = Self { address: mask(address, length), length };
        if prefix.address != address {
            return Err(InvalidValue::new(
                &name(),
                "a prefix without host bits such as 2001:db8::/64 or 10.0.0.0/8",
            ));
        }
        Ok(prefix)
    }

    /// The prefix that holds `address` alone.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: Self::bits(address) }
    }

    const fn bits(address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that count.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether `address` is of this family and lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && mask(address, self.length) == self.address
    }

    /// Whether the prefixes have addresses in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The node-client address of `client` in this node-client prefix: the modified EUI-64 of its MAC as the
    /// interface identifier, whatever the prefix length (behaviour of the C daemon, `mac2ipv6`).
    ///
    /// An IPv4 prefix has none and gives the unspecified address; the configuration refuses it.
    pub fn node_client_address(&self, client: Mac) -> Ipv6Addr {
        let IpAddr::V6(prefix) = self.address else { return Ipv6Addr::UNSPECIFIED };
        let mut octets = prefix.octets();
        octets[8..].copy_from_slice(&client.eui64());
        Ipv6Addr::from(octets)
    }

    /// The address with this interface identifier, where the prefix is one of IPv6 with 64 bits.
    pub fn with_identifier(&self, identifier: [u8; 8]) -> Option<Ipv6Addr> {
        let IpAddr::V6(prefix) = self.address else { return None };
        let mut octets = prefix.octets();
        octets[8..].copy_from_slice(&identifier);
        (self.length == 64).then_some(Ipv6Addr::from(octets))
    }

    /// The client whose node-client address in this prefix is `address`, if it is one.
    pub fn client_of(&self, address: Ipv6Addr) -> Option<Mac> {
        let o = address.octets();
        let mac = Mac([o[8] ^ 2, o[9], o[10], o[13], o[14], o[15]]);
        (self.node_client_address(mac) == address).then_some(mac)
    }
}

fn mask(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || InvalidValue::new(text, "a prefix such as 2001:db8::/64 or 10.0.0.0/8");
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        Self::new(address, decimal(length).ok_or_else(invalid)?)
    }
}

/// The number that `text` is, written in decimal digits alone: `parse` would take a sign, too.
pub fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Whether `address` is an IPv6 link-local unicast address (fe80::/10).
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfe80)
}

/// Whether `address` can be that of one host: not unspecified, loopback, multicast or (IPv4) broadcast.
pub fn is_host_address(address: IpAddr) -> bool {
    !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !matches!(address, IpAddr::V4(a) if a.is_broadcast())
}

/// The kernel's number of a network interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IfIndex(pub u32);

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a network interface as the kernel accepts it: 1 to 15 bytes, no `/`, `:` or white space, not `.` or `..`
/// (`dev_valid_name` in the kernel).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(Box<str>);

impl InterfaceName {
    /// The name of the capture TUN unless said.
    pub fn capture() -> Self {
        Self("l3roam0".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let bad = text.is_empty()
            || text.len() > 15
            || text == "."
            || text == ".."
            || text
                .bytes()
                .any(|b| b == b'/' || b == b':' || b.is_ascii_whitespace() || b.is_ascii_control());
        if bad {
            return Err(InvalidValue::new(
                text,
                "an interface name of 1 to 15 characters without '/', ':' or spaces",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_with_host_bits_is_refused_by_name() {
        let error = "2001:db8::1/64".parse::<Prefix>().unwrap_err();
        assert!(error.to_string().contains("2001:db8::1/64"), "{error}");
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0",
            "x/8",
            "::/",
            "::/-1",
            "::/+1",
            "10.0.0.0/8/9",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_contains_its_own_family_only() {
        let v4: Prefix = "10.0.0.0/8".parse().unwrap();
        assert!(v4.contains("10.255.0.1".parse().unwrap()));
        assert!(!v4.contains("11.0.0.1".parse().unwrap()));
        assert!(!v4.contains("::ffff:10.0.0.1".parse().unwrap()));
        let all: Prefix = "::/0".parse().unwrap();
        assert!(all.contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn an_interface_identifier_belongs_into_64_bits() {
        let of = |text: &str| text.parse::<Prefix>().unwrap().with_identifier([0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(of("2001:db8::/64"), Some("2001:db8::5".parse().unwrap()));
        assert_eq!((of("2001:db8::/56"), of("10.0.0.0/8")), (None, None));
    }

    #[test]
    fn the_node_client_address_is_the_modified_eui64_and_leads_back_to_the_client() {
        let prefix: Prefix = "fec0::/64".parse().unwrap();
        let mac: Mac = "02:00:5e:10:00:01".parse().unwrap();
        let address = prefix.node_client_address(mac);
        assert_eq!(address, "fec0::5eff:fe10:1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(prefix.client_of(address), Some(mac));
        assert_eq!(prefix.client_of("fec0::1".parse().unwrap()), None);
    }

    #[test]
    fn macs_and_interface_names_are_checked() {
        for bad in
            ["", "02:00", "02:00:5e:10:00:01:02", "02:00:5e:10:00:0g", "+2:00:5e:10:00:01", "002:0:0:0:0:0"]
        {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "sixteen-bytes-xx", "a:b", "a\n"] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
        assert!(!Mac([1, 0, 0, 0, 0, 0]).is_unicast() && !Mac::default().is_unicast());
    }
}
