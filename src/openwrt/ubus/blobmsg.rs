//! blobmsg, the notation of ubus messages, to and from JSON.
//!
//! ```text
//!  attribute: | 1 bit: named | 7 bits: type | 24 bits: length with this header | name | value | padding to 4 |
//!  name:      | 16 bits: length | bytes | NUL | padding to 4 |
//! ```
//! All numbers are big-endian, containers hold attributes. Our own reader because it must take anything without a panic and without a
//! copy, and because both clients share it: libubus alone has none that ends in JSON.

use serde_json::{Number, Value};

use super::{ArgumentType, Table};

/// The longest message that ubusd passes on, less room for what surrounds the data (`UBUS_MAX_MSGLEN`).
pub(super) const LIMIT: usize = (1 << 20) - 4096;

/// Containers in containers; deeper ones are refused.
const DEPTH: usize = 32;

const NAMED: u32 = 1 << 31;
const LENGTH: u32 = 0x00ff_ffff;

const UNSPECIFIED: u32 = 0;
const ARRAY: u32 = 1;
const TABLE: u32 = 2;
const STRING: u32 = 3;
const INT64: u32 = 4;
const INT32: u32 = 5;
const INT16: u32 = 6;
const INT8: u32 = 7;
const DOUBLE: u32 = 8;

/// The attributes of a table, as they follow each other in a message. `None` where they are too many or nest too deeply.
pub(super) fn encode(table: &Table) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    table.iter().try_for_each(|(name, value)| write(&mut out, name, value, DEPTH))?;
    Some(out)
}

/// The table with these attributes. `None` where the bytes are not blobmsg. Of two attributes of one name the last one counts; text that is
/// not UTF-8 gets replacement characters.
pub(super) fn decode(bytes: &[u8]) -> Option<Table> {
    read_table(bytes, DEPTH)
}

/// How the methods of an object are described to ubusd: a table each, in the given order, with the type of each argument.
#[cfg(feature = "embedded-ubus")]
pub(super) fn signature(methods: &[super::MethodSpec]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for method in methods {
        container(&mut out, TABLE, method.name, |out| {
            method
                .arguments
                .iter()
                .try_for_each(|(name, kind)| leaf(out, INT32, name, &type_number(*kind).to_be_bytes()))
        })?;
    }
    Some(out)
}

/// A type by its number in `enum blobmsg_type`.
pub(super) const fn type_number(kind: ArgumentType) -> u32 {
    match kind {
        ArgumentType::String => STRING,
        ArgumentType::Integer => INT32,
        ArgumentType::Boolean => INT8,
        ArgumentType::Array => ARRAY,
        ArgumentType::Table => TABLE,
    }
}

fn write(out: &mut Vec<u8>, name: &str, value: &Value, depth: usize) -> Option<()> {
    let inside = depth.checked_sub(1)?;
    match value {
        Value::Null => leaf(out, UNSPECIFIED, name, &[]),
        Value::Bool(value) => leaf(out, INT8, name, &[u8::from(*value)]),
        Value::Number(value) => write_number(out, name, value),
        Value::String(value) => {
            let mut bytes = until_nul(value.as_bytes()).to_vec();
            bytes.push(0);
            leaf(out, STRING, name, &bytes)
        }
        Value::Array(values) => container(out, ARRAY, name, |out| {
            values.iter().try_for_each(|value| write(out, "", value, inside))
        }),
        Value::Object(table) => container(out, TABLE, name, |out| {
            table.iter().try_for_each(|(name, value)| write(out, name, value, inside))
        }),
    }
}

/// INT32 where it fits, else INT64, as libblobmsg_json does.
fn write_number(out: &mut Vec<u8>, name: &str, value: &Number) -> Option<()> {
    let wide = match (value.as_i64(), value.as_u64()) {
        (Some(value), _) => value,
        (None, Some(_)) => i64::MAX,
        (None, None) => return leaf(out, DOUBLE, name, &value.as_f64()?.to_bits().to_be_bytes()),
    };
    match i32::try_from(wide) {
        Ok(narrow) => leaf(out, INT32, name, &narrow.to_be_bytes()),
        Err(_) => leaf(out, INT64, name, &wide.to_be_bytes()),
    }
}

fn leaf(out: &mut Vec<u8>, kind: u32, name: &str, value: &[u8]) -> Option<()> {
    container(out, kind, name, |out| {
        out.extend_from_slice(value);
        Some(())
    })
}

fn container(
    out: &mut Vec<u8>,
    kind: u32,
    name: &str,
    fill: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let begin = out.len();
    let name = until_nul(name.as_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&u16::try_from(name.len()).ok()?.to_be_bytes());
    out.extend_from_slice(name);
    out.push(0);
    pad(out);
    fill(out)?;
    // The padding at the end is not part of the length.
    let length = out.len().checked_sub(begin).filter(|_| out.len() <= LIMIT)?;
    let header = NAMED | kind << 24 | u32::try_from(length).ok()?;
    out.get_mut(begin..begin.checked_add(4)?)?.copy_from_slice(&header.to_be_bytes());
    pad(out);
    Some(())
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// An attribute that was cut out of a message.
struct Attribute<'a> {
    kind: u32,
    name: &'a [u8],
    value: &'a [u8],
}

/// Cuts the first attribute off. `None` where there is none that is whole.
fn cut<'a>(bytes: &mut &'a [u8]) -> Option<Attribute<'a>> {
    let header = u32::from_be_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(header & LENGTH).ok()?;
    let whole = bytes.get(4..length)?;
    *bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    let mut value = whole;
    let mut name = Default::default();
    if header & NAMED != 0 {
        let name_length = usize::from(u16::from_be_bytes(*whole.first_chunk()?));
        name = whole.get(2..2 + name_length)?;
        value = whole.get((2 + name_length + 1).next_multiple_of(4)..)?;
    }
    Some(Attribute { kind: header >> 24 & 0x7f, name, value })
}

fn read_table(mut bytes: &[u8], depth: usize) -> Option<Table> {
    let mut table = Table::new();
    while bytes.len() >= 4 {
        let attribute = cut(&mut bytes)?;
        table.insert(String::from_utf8_lossy(attribute.name).into_owned(), read(&attribute, depth)?);
    }
    Some(table)
}

fn read_array(mut bytes: &[u8], depth: usize) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while bytes.len() >= 4 {
        values.push(read(&cut(&mut bytes)?, depth)?);
    }
    Some(values)
}

fn read(attribute: &Attribute<'_>, depth: usize) -> Option<Value> {
    let value = attribute.value;
    let inside = depth.checked_sub(1)?;
    Some(match attribute.kind {
        UNSPECIFIED => Value::Null,
        ARRAY => Value::Array(read_array(value, inside)?),
        TABLE => Value::Object(read_table(value, inside)?),
        STRING if value.contains(&0) => String::from_utf8_lossy(until_nul(value)).into(),
        INT64 => i64::from_be_bytes(*value.first_chunk()?).into(),
        INT32 => i32::from_be_bytes(*value.first_chunk()?).into(),
        INT16 => i16::from_be_bytes(*value.first_chunk()?).into(),
        INT8 => Value::Bool(*value.first()? != 0),
        DOUBLE => f64::from_bits(u64::from_be_bytes(*value.first_chunk()?)).into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn table(value: Value) -> Table {
        value.as_object().expect("a table").clone()
    }

    #[test]
    fn a_table_is_written_as_libubox_writes_it() {
        let expected = [
            0x85, 0, 0, 12, 0, 1, b'a', 0, 0, 0, 0, 7, // {"a": 7}
            0x83, 0, 0, 14, 0, 2, b'b', b'c', 0, 0, 0, 0, b'x', 0, 0, 0, // "bc": "x", padded
        ];
        let written = encode(&table(json!({"a": 7, "bc": "x"}))).expect("small");
        assert_eq!(written, expected);
    }

    #[test]
    fn every_type_survives() {
        let all = table(json!({
            "null": null, "yes": true, "no": false, "small": -5, "wide": 5_000_000_000_i64, "least": i64::MIN,
            "double": 2.5, "text": "grün", "empty": "", "array": [1, [2, "x"], {}], "table": {"a": {"b": []}},
        }));
        assert_eq!(decode(&encode(&all).expect("small")), Some(all));
    }

    #[test]
    fn text_that_is_not_utf8_is_replaced_and_text_without_end_refused() {
        let attribute = [0x83, 0, 0, 11, 0, 1, b'a', 0, 0xff, b'x', 0, 0];
        assert_eq!(decode(&attribute), Some(table(json!({"a": "\u{fffd}x"}))));
        let mut endless = attribute;
        endless[10] = b'y';
        assert_eq!(decode(&endless), None);
    }

    #[test]
    fn the_narrow_integer_is_read() {
        assert_eq!(decode(&[0x86, 0, 0, 10, 0, 1, b'a', 0, 0xff, 0xfe]), Some(table(json!({"a": -2}))));
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_refused() {
        let mut deep = json!(1);
        for _ in 0..DEPTH {
            deep = json!([deep]);
        }
        assert_eq!(encode(&table(json!({"a": deep}))), None);
        assert_eq!(encode(&table(json!({"a": "x".repeat(LIMIT)}))), None);
        let deep: Vec<u8> = (1..=100_u8)
            .rev()
            .flat_map(|level| {
                [
                    0x81,
                    0,
                    u8::try_from((usize::from(level) * 8) >> 8).expect("small"),
                    (usize::from(level) * 8) as u8,
                    0,
                    0,
                    0,
                    0,
                ]
            })
            .collect();
        assert_eq!(decode(&deep), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(table) = decode(&bytes) {
                prop_assert!(encode(&table).is_some());
            }
        }
    }
}
