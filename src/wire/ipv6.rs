//! The way through IPv6 extension headers to what the packet carries.

use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols as Protocols};

use super::codec::Reader;

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upper<'a> {
    pub(super) protocol: IpNextHeaderProtocol,
    pub(super) payload: &'a [u8],
    /// The offset of the fragment in units of 8 bytes, where there is a fragment header.
    pub(super) fragment: Option<u16>,
}

/// So many extension headers at most. RFC 8200 section 4.1 recommends an order of seven; more are a waste of our time
/// that somebody asks for on purpose.
const MOST_HEADERS: usize = 8;

/// Walks from the first next-header value and what follows the IPv6 header. `None` where a header is not whole or there
/// are too many.
///
/// The walk ends at a fragment that is not the first, whose payload is the middle of something.
pub(super) fn upper_layer(first: IpNextHeaderProtocol, payload: &[u8]) -> Option<Upper<'_>> {
    let mut reader = Reader::new(payload);
    let mut protocol = first;
    let mut fragment = None;
    for _ in 0..=MOST_HEADERS {
        let rest = match protocol {
            // RFC 8200 section 4.3 to 4.6, RFC 6275, RFC 7401, RFC 5533: length in units of 8 bytes beyond the first 8.
            Protocols::Hopopt
            | Protocols::Ipv6Route
            | Protocols::Ipv6Opts
            | Protocols::MobilityHeader
            | Protocols::Hip
            | Protocols::Shim6 => |length: u8| usize::from(length) * 8 + 6,
            // RFC 4302 section 2.2: in units of 4 bytes, minus 2.
            Protocols::Ah => |length: u8| usize::from(length) * 4 + 6,
            // RFC 8200 section 4.5: of fixed length.
            Protocols::Ipv6Frag => |_| 6,
            _ => return Some(Upper { protocol, payload: reader.rest(), fragment }),
        };
        let is_fragment = protocol == Protocols::Ipv6Frag;
        protocol = IpNextHeaderProtocol(reader.u8().ok()?);
        let length = reader.u8().ok()?;
        let mut header = Reader::new(reader.take(rest(length)).ok()?);
        if is_fragment {
            let offset = header.u16().ok()? >> 3;
            fragment = Some(offset);
            if offset > 0 {
                return Some(Upper { protocol, payload: reader.rest(), fragment });
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_skipped_by_their_own_unit_of_length() {
        let mut bytes = vec![51, 1];
        bytes.extend([0; 14]); // hop-by-hop, 16 bytes
        bytes.extend([44, 4]);
        bytes.extend([0; 22]); // authentication, 24 bytes
        bytes.extend([58, 255, 0, 1, 0, 0, 0, 9]); // first fragment, "more" set
        bytes.extend([128, 0]);
        let upper = upper_layer(Protocols::Hopopt, &bytes).unwrap();
        assert_eq!(
            (upper.protocol, upper.payload, upper.fragment),
            (Protocols::Icmpv6, &[128, 0][..], Some(0))
        );
        for end in 0..bytes.len() - 2 {
            assert!(upper_layer(Protocols::Hopopt, &bytes[..end]).is_none(), "{end}");
        }
    }

    #[test]
    fn the_walk_ends_at_a_later_fragment_and_at_too_many_headers() {
        let later = [0, 0, 0, 8, 0, 0, 0, 9, 1];
        let upper = upper_layer(Protocols::Ipv6Frag, &later).unwrap();
        assert_eq!((upper.fragment, upper.payload), (Some(1), &[1][..]));
        let options = |count: usize| {
            let mut bytes = [60, 0, 1, 4, 0, 0, 0, 0].repeat(count);
            bytes[count * 8 - 8] = 59;
            upper_layer(Protocols::Ipv6Opts, &bytes).is_some()
        };
        assert!(options(MOST_HEADERS) && !options(MOST_HEADERS + 1));
    }
}
