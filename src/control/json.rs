//! JSON in the spacing of json-c's `JSON_C_TO_STRING_SPACED`, which the C daemon prints: `{ "clients": 0 }`, `[ ]`.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The text of `value`. A value that has no JSON (none of ours) gives an empty object.
pub fn to_string(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced));
    // serde_json writes UTF-8 only.
    written.ok().and_then(|()| String::from_utf8(bytes).ok()).unwrap_or_else(|| "{ }".to_owned())
}

/// json-c's spacing: a blank behind each bracket, comma and colon, none before them but the closing brackets.
struct Spaced;

fn separate<W: ?Sized + io::Write>(writer: &mut W, first: bool) -> io::Result<()> {
    writer.write_all(if first { b" " } else { b", " })
}

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        separate(writer, first)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" ]")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        separate(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" }")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spacing_is_that_of_json_c() {
        assert_eq!(to_string(&json!({})), "{ }");
        assert_eq!(to_string(&json!([])), "[ ]");
        assert_eq!(
            to_string(&json!({"a": [1, "x\""], "b": {"c": []}})),
            r#"{ "a": [ 1, "x\"" ], "b": { "c": [ ] } }"#
        );
    }
}
