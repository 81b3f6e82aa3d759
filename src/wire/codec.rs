//! The two cursors through which variable bytes are read and written. No other file of `wire` does arithmetic on
//! offsets into what came from the network.

/// There are fewer bytes than asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Short;

/// Why a type-length-value element cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TlvError {
    /// It ends before its head, or before the length that its head says.
    Short,
    /// It says a length that does not even hold its head: whoever skips by it never ends (the C daemon does not).
    BelowHead {
        /// Its type.
        kind: u8,
    },
}

/// Reads from the front of a slice; big endian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read yet.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next element of type and length, one byte each and both counted by the length, and its value.
    pub(super) fn tlv(&mut self) -> Result<(u8, &'a [u8]), TlvError> {
        let kind = self.u8().map_err(|Short| TlvError::Short)?;
        let length = self.u8().map_err(|Short| TlvError::Short)?;
        let length = usize::from(length).checked_sub(TLV_HEAD).ok_or(TlvError::BelowHead { kind })?;
        let value = self.take(length).map_err(|Short| TlvError::Short)?;
        Ok((kind, value))
    }
}

/// Type and length of an element.
const TLV_HEAD: usize = 2;

/// Appends to a buffer; big endian.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// An element of type `kind` whose value is what `fill` writes, at most 253 bytes; the length is filled in behind it.
    pub(super) fn tlv(&mut self, kind: u8, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.u8(kind);
        self.u8(0);
        fill(self);
        let length = self.bytes.len() - start;
        debug_assert!(length <= usize::from(u8::MAX), "a TLV of {length} bytes");
        if let Some(at) = self.bytes.get_mut(start + 1) {
            *at = u8::try_from(length).unwrap_or(u8::MAX);
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_falls_short_reads_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u32(), Err(Short));
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.take(2), Err(Short));
        assert_eq!(reader.u8(), Ok(3));
        assert!(reader.is_empty() && reader.u8() == Err(Short));
    }

    #[test]
    fn elements_count_their_head_in_both_directions() {
        let mut writer = Writer::default();
        writer.tlv(7, |w| w.u16(0x0809));
        let bytes = writer.into_bytes();
        assert_eq!(bytes, [7, 4, 8, 9]);
        assert_eq!(Reader::new(&bytes).tlv(), Ok((7, &[8, 9][..])));
        assert_eq!(Reader::new(&[7, 1]).tlv(), Err(TlvError::BelowHead { kind: 7 }));
        assert_eq!(Reader::new(&[7, 3]).tlv(), Err(TlvError::Short));
        assert_eq!(Reader::new(&[7]).tlv(), Err(TlvError::Short));
    }
}
