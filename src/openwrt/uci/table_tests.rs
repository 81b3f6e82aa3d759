//! The table, the schema and the default configuration say the same.

use std::path::PathBuf;

use super::*;
use crate::openwrt::uci::parser::{self, Value};

fn default_texts(row: &Row) -> Vec<String> {
    row.field.show(&Settings::of_uci())
}

fn schema() -> String {
    let mut text = "\
# /etc/config/l3roamd

`l3roamd --uci` reads the named sections `config l3roamd 'main'`, `config timers 'timers'` and `config limits 'limits'`. A file
in `/var/run/uci` precedes the one in `/etc/config`; only committed configuration counts.

- Times are in milliseconds. A list is `list x 'a'`, repeated, or `option x 'a b'`.
- A boolean is `1` (`on`, `true`, `yes`, `enabled`) or `0` (`off`, `false`, `no`, `disabled`).
- Names of interfaces are those of netifd, or of devices where netifd knows none of that name.
- At the start an option with a wrong value has its default, of a list what is right in it is used, and the log says so; only a
  missing node address stops the start. At a reload anything wrong keeps all as it is. Unknown sections and options are warned of.
- A reload (SIGHUP) applies what changed without losing clients or packets. Where an option marked *restarts* changed, the
  daemon starts itself anew in the same process and takes its clients over from itself.
- On the command line beside `--uci`, options add to lists and replace everything else.
"
    .to_owned();
    for (kind, name) in SECTIONS {
        text += &format!("\n## config {kind} '{name}'\n\n");
        text += "| option | type | default | range | meaning |\n|---|---|---|---|---|\n";
        for row in ROWS.iter().filter(|row| row.section == *name) {
            let default = match default_texts(row).as_slice() {
                [] => row.unset.to_owned(),
                values => format!("`{}`", values.join(" ")),
            };
            let (kind, range) = (row.field.kind(), row.field.range());
            let restarts = if row.restarts { " *restarts*" } else { "" };
            text += &format!("| `{}` | {kind} | {default} | {range} | {}{restarts} |\n", row.name, row.help);
        }
    }
    text
}

fn default_configuration() -> String {
    let mut text = "\
# Configuration of l3roamd. Options in comments have their defaults, or show an example where the explanation
# says what stands for them. Times are in milliseconds. Types and ranges: uci/schema.md of the sources.
"
    .to_owned();
    for (kind, name) in SECTIONS {
        text += &format!("\nconfig {kind} '{name}'\n");
        for (number, row) in ROWS.iter().filter(|row| row.section == *name).enumerate() {
            text += if number == 0 { "" } else { "\n" };
            let values = default_texts(row);
            let unset = if values.is_empty() { format!(" Default: {}.", row.unset) } else { String::new() };
            text += &format!("\t# {}{unset}\n", row.help);
            let word = if row.field.is_list() { "list" } else { "option" };
            let shown = if values.is_empty() { vec![row.example.to_owned()] } else { values };
            for value in shown {
                // A daemon without prefixes and interfaces is of no use: whoever has set them enables it.
                let (comment, value) =
                    if row.name == "enabled" { ("", "0".to_owned()) } else { ("#", value) };
                text += &format!("\t{comment}{word} {} '{value}'\n", row.name);
            }
        }
    }
    text
}

#[test]
fn schema_and_default_configuration_are_those_of_the_table() {
    for (name, expected) in [("uci/schema.md", schema()), ("uci/l3roamd", default_configuration())] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("L3ROAMD_UPDATE").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(found == expected, "{name} differs; L3ROAMD_UPDATE=1 writes it as:\n{expected}");
    }
}

#[test]
fn the_default_configuration_and_its_comments_set_what_is_set_anyway() {
    let file = PathBuf::from("l3roamd");
    let text = default_configuration();
    let mut settings = Settings::of_uci();
    assert_eq!(settings.take(&parser::parse(text.as_bytes()).unwrap(), &file), []);
    assert_eq!(settings, Settings { enabled: false, ..Settings::of_uci() });
    // All examples and defaults at once are right too.
    let all = text.replace("\t#option", "\toption").replace("\t#list", "\tlist");
    let package = parser::parse(all.as_bytes()).unwrap();
    assert_eq!(settings.take(&package, &file), []);
    let options = package.sections.iter().map(|section| section.options.len());
    assert_eq!(options.sum::<usize>(), ROWS.len());
    for row in ROWS.iter().filter(|row| row.name != "enabled") {
        let value = package.section(row.section).unwrap().option(row.name).unwrap();
        let shown = row.field.show(&settings).join(" ");
        let expected = match value {
            Value::One(value) => String::from_utf8(value.clone()).unwrap(),
            Value::Many(values) => {
                values.iter().map(|v| String::from_utf8_lossy(v)).collect::<Vec<_>>().join(" ")
            }
        };
        assert_eq!(shown, expected, "{}", row.name);
    }
}

#[test]
fn every_row_has_a_name_of_its_own_a_section_and_an_explanation() {
    for (number, row) in ROWS.iter().enumerate() {
        let same = |other: &&Row| other.section == row.section && other.name == row.name;
        assert_eq!(ROWS.iter().take(number).filter(same).count(), 0, "{}", row.name);
        assert!(SECTIONS.iter().any(|(_, name)| *name == row.section), "{}", row.name);
        assert!(row.help.ends_with('.') && !row.help.contains(['|', '\n']), "{}", row.name);
        let has_default = !default_texts(row).is_empty();
        assert_eq!(row.unset.is_empty(), has_default, "{}: a default or what stands for it", row.name);
    }
}

#[test]
fn numbers_are_taken_at_the_ends_of_their_range_and_refused_beyond() {
    for row in ROWS {
        let (start, end) = match &row.field {
            Field::Number(range, _)
            | Field::Count(range, _)
            | Field::Millis(range, _)
            | Field::ManyMillis(range, _) => (*range.start(), *range.end()),
            _ => continue,
        };
        for good in [start, end] {
            let mut settings = Settings::of_uci();
            assert_eq!(row.field.take(&mut settings, &[good.to_string()]), [], "{}", row.name);
            assert_eq!(row.field.show(&settings), [good.to_string()], "{}", row.name);
        }
        let beyond = [u64::from(end) + 1, u64::MAX].map(|number| number.to_string());
        let below = start.checked_sub(1).map(|number| number.to_string());
        let odd = ["", "-1", "+5", "0x10", "1s", " 5"].map(str::to_owned);
        for wrong in beyond.into_iter().chain(below).chain(odd) {
            let (text, mut settings) = (wrong.trim().to_owned(), Settings::of_uci());
            let wrong = if row.field.is_list() { text } else { wrong };
            let found = row.field.take(&mut settings, std::slice::from_ref(&wrong));
            if row.field.is_list() && wrong == "5" {
                continue;
            }
            assert_eq!(found.len(), 1, "{} '{wrong}'", row.name);
            assert_eq!(settings, Settings::of_uci(), "{} '{wrong}'", row.name);
        }
    }
}
