//! What only our own nodes say: the capabilities in the header's reserved byte, and the tail inside a TLV.
//!
//! The C daemon ignores both, because it ignores that byte and skips a TLV by its length (`parse_mac`,
//! `parse_address` and `parse_plat` in its `intercom.c`). See the [module's head](super) for the format.

use super::codec::{Reader, Short, Writer};

/// The header's reserved byte. Bits that mean nothing here are kept and ignored.
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

    /// The words for those that it has and that we know.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let known = [(Self::TAILS, "tails"), (Self::RELAY, "relay")];
        known.into_iter().filter(move |(capability, _)| self.has(*capability)).map(|(_, name)| name)
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

/// What a tail begins with. Bytes behind a TLV's known value that begin otherwise are somebody else's.
const MAGIC: [u8; 2] = [0x52, 0x33];
const VERSION: u8 = 1;

mod item {
    pub(super) const AGE: u8 = 1;
    pub(super) const SEQ: u8 = 2;
    pub(super) const HOPS: u8 = 3;
    pub(super) const FLAGS: u8 = 4;
    // 5 is kept for AUTH.
}

impl Tail {
    /// Whether there is nothing to say. What was broken said nothing either.
    fn is_empty(&self) -> bool {
        let Self { age_ms, sequence, hops, flags, broken: _ } = self;
        age_ms.is_none() && sequence.is_none() && hops.is_none() && *flags == Flags(0)
    }

    /// Reads what stands behind the known part of a TLV's value.
    pub(super) fn parse(appended: &[u8]) -> Self {
        match appended.strip_prefix(&MAGIC) {
            None => Self::default(),
            // All or nothing: half a tail could say "refused" without the number that it refuses by.
            Some(rest) => read(rest).unwrap_or(Self { broken: true, ..Self::default() }),
        }
    }

    /// Appends itself to the value that is being written, or nothing where it is empty, so that a packet without
    /// extensions is what the C daemon sends.
    pub(super) fn emit(&self, writer: &mut Writer) {
        if self.is_empty() {
            return;
        }
        let Self { age_ms, sequence, hops, flags, broken: _ } = *self;
        writer.bytes(&MAGIC);
        writer.u8(VERSION);
        if let Some(age) = age_ms {
            writer.tlv(item::AGE, |w| w.u32(age));
        }
        if let Some(sequence) = sequence {
            writer.tlv(item::SEQ, |w| w.u32(sequence));
        }
        if let Some(hops) = hops {
            writer.tlv(item::HOPS, |w| w.u8(hops));
        }
        if flags != Flags(0) {
            writer.tlv(item::FLAGS, |w| w.u8(flags.0));
        }
    }
}

/// The items behind the magic; `None` where they cannot be read.
fn read(bytes: &[u8]) -> Option<Tail> {
    let mut reader = Reader::new(bytes);
    if reader.u8() != Ok(VERSION) {
        return None;
    }
    let mut tail = Tail::default();
    while !reader.is_empty() {
        let (kind, value) = reader.tlv().ok()?;
        match kind {
            item::AGE => tail.age_ms = Some(u32::from_be_bytes(exactly(value)?)),
            item::SEQ => tail.sequence = Some(u32::from_be_bytes(exactly(value)?)),
            item::HOPS => tail.hops = Some(u8::from_be_bytes(exactly(value)?)),
            item::FLAGS => tail.flags = Flags(u8::from_be_bytes(exactly(value)?)),
            // A later release's; the length leads past it.
            _ => {}
        }
    }
    Some(tail)
}

fn exactly<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    let mut reader = Reader::new(value);
    match reader.array() {
        Ok(bytes) if reader.is_empty() => Some(bytes),
        Ok(_) | Err(Short) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: Tail = Tail { age_ms: None, sequence: None, hops: None, flags: Flags(0), broken: true };

    #[test]
    fn bytes_without_the_magic_are_no_tail() {
        for bytes in [&b""[..], b"\x52", b"\x33\x52\x01", b"\x00\x00\x00\x00"] {
            assert_eq!(Tail::parse(bytes), Tail::default(), "{bytes:?}");
        }
    }

    #[test]
    fn a_tail_of_unknown_items_says_nothing_and_is_not_broken() {
        assert_eq!(Tail::parse(b"\x52\x33\x01"), Tail::default());
        assert_eq!(Tail::parse(b"\x52\x33\x01\x05\x02\xff\x04ab"), Tail::default());
        let known_behind = b"\x52\x33\x01\xff\x04\xaa\xbb\x03\x03\x07";
        assert_eq!(Tail::parse(known_behind), Tail { hops: Some(7), ..Tail::default() });
    }

    #[test]
    fn a_broken_tail_is_ignored_as_a_whole() {
        for bytes in [
            &b"\x52\x33"[..],                                        // no version
            b"\x52\x33\x02",                                         // another version
            b"\x52\x33\x01\x03",                                     // half a head
            b"\x52\x33\x01\x03\x00",                                 // length 0
            b"\x52\x33\x01\x03\x01",                                 // length 1
            b"\x52\x33\x01\x03\x04\x00",                             // beyond the TLV
            b"\x52\x33\x01\x03\x04\x00\x00",                         // HOPS of two bytes
            b"\x52\x33\x01\x01\x05\x00\x00\x00",                     // AGE of three bytes
            b"\x52\x33\x01\x04\x03\x02\x02\x07\x00\x00\x00\x01\x00", // a good FLAGS, then SEQ of five bytes
        ] {
            assert_eq!(Tail::parse(bytes), BROKEN, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_broken_tail_is_not_emitted() {
        let mut writer = Writer::default();
        BROKEN.emit(&mut writer);
        assert!(writer.into_bytes().is_empty());
    }
}
