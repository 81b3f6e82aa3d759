//! UCI text, read as libuci reads it in its strict mode (`file.c`): what it refuses is refused, and what it makes of a file is made of it
//! here, down to the names of unnamed sections. A test holds one against the other.
//!
//! ```text
//! file    = line...
//! line    = [command {; command}] [# comment]
//! command = package NAME | config TYPE [NAME] | option NAME [VALUE] | list NAME [VALUE]      (or their first letters)
//! ```
//! A word is plain, 'as it is' or "with \ before what is meant literally", or several of these without a blank between. Quotes may span lines; a
//! backslash at the end of a line joins it with the next.
//!
//! Different on purpose: libuci loses what follows a plain word and a semicolon (`option a b; option c d`), here it is read; and a file
//! with NUL bytes is refused, of which libuci reads more or less by the size of its buffer.

use std::collections::BTreeMap;

use thiserror::Error;

/// A configuration file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Package {
    /// Its sections in their order.
    pub sections: Vec<Section>,
}

impl Package {
    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

/// A section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its type: printable ASCII.
    pub kind: String,
    /// Its name; where the file gives none, the one that libuci makes up. Letters, digits and `_`.
    pub name: String,
    /// Whether the file gives no name.
    pub anonymous: bool,
    /// Its options, each name once, in the order in which they were first seen.
    pub options: Vec<Entry>,
}

impl Section {
    /// The value of the option of this name.
    pub fn option(&self, name: &str) -> Option<&Value> {
        self.options.iter().find(|entry| entry.name == name).map(|entry| &entry.value)
    }
}

/// An option or list with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Letters, digits and `_`.
    pub name: String,
    /// What it is set to.
    pub value: Value,
}

/// A value. Bytes, for nobody promises UTF-8.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `option`: never empty.
    One(Vec<u8>),
    /// `list`: one or more, each may be empty.
    Many(Vec<Vec<u8>>),
}

/// Why a text is no configuration.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}: {problem}")]
pub struct SyntaxError {
    /// Where, counted from 1.
    pub line: usize,
    /// What was read and what was expected.
    pub problem: String,
}

/// Reads a configuration file. The work and what is kept are in proportion to its length.
///
/// # Errors
/// The first thing that is wrong; nothing of the file is to be used then.
pub fn parse(text: &[u8]) -> Result<Package, SyntaxError> {
    if let Some(nul) = text.iter().position(|byte| *byte == 0) {
        let line = text.iter().take(nul).filter(|byte| **byte == b'\n').count() + 1;
        return Err(SyntaxError { line, problem: "a NUL byte, expected text".to_owned() });
    }
    let mut parser = Parser { rest: text, ..Parser::default() };
    while !parser.rest.is_empty() {
        parser.fill(0);
        parser.commands()?;
    }
    Ok(parser.package)
}

#[derive(Default)]
struct Parser<'a> {
    /// The lines that were not looked at yet.
    rest: &'a [u8],
    /// The line in hand, with those that continue it.
    line: Vec<u8>,
    /// The next byte of it.
    at: usize,
    number: usize,
    package: Package,
    /// The first section of each name.
    named: BTreeMap<String, usize>,
    /// Where an option of a section is.
    known: BTreeMap<(usize, String), usize>,
    /// The section that options go to.
    section: Option<usize>,
}

/// `isspace` of the C locale.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

fn is_name(word: &[u8]) -> bool {
    word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Words that were checked to be ASCII.
fn ascii(word: &[u8]) -> String {
    word.iter().map(|byte| char::from(*byte)).collect()
}

impl Parser<'_> {
    /// Lets the next line follow what stands before `offset`.
    fn fill(&mut self, offset: usize) {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.line.truncate(offset);
        self.line.extend_from_slice(line);
        self.at = offset;
        self.number += usize::from(!line.is_empty());
        self.rest = rest;
    }

    /// The next byte of the line; NUL at its end.
    fn next(&self) -> u8 {
        self.line.get(self.at).copied().unwrap_or(0)
    }

    fn error(&self, problem: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.number, problem: problem.into() }
    }

    fn unexpected(&self, word: &[u8], expected: &str) -> SyntaxError {
        let word: String = String::from_utf8_lossy(word).chars().take(64).collect();
        let word: String = word.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.error(format!("'{word}' is not {expected}"))
    }

    fn skip_blanks(&mut self) {
        while is_blank(self.next()) {
            self.at += 1;
        }
    }

    /// The commands of the line in hand.
    fn commands(&mut self) -> Result<(), SyntaxError> {
        self.skip_blanks();
        loop {
            while matches!(self.next(), b' ' | b'\t') {
                self.at += 1;
            }
            if matches!(self.next(), 0 | b'#') {
                return Ok(());
            }
            let word = self.line.get(self.at..).unwrap_or_default();
            let length = word.iter().position(|byte| matches!(byte, b' ' | b'\t'));
            let word = word.get(..length.unwrap_or(word.len())).unwrap_or_default().to_vec();
            // Something must follow, if only a blank.
            self.at = self.at.saturating_add(word.len()).saturating_add(1);
            match (word.as_slice(), length) {
                (b"p" | b"package", Some(_)) => self.package()?,
                (b"c" | b"config", Some(_)) => self.config()?,
                (b"o" | b"option", Some(_)) => self.option(false)?,
                (b"l" | b"list", Some(_)) => self.option(true)?,
                _ => {
                    return Err(
                        self.unexpected(word.trim_ascii_end(), "package, config, option or list with a name")
                    );
                }
            }
        }
    }

    /// The name does not matter: the file's does.
    fn package(&mut self) -> Result<(), SyntaxError> {
        let name = self.required()?;
        if !name.iter().all(|byte| *byte == b'-' || is_name(&[*byte])) {
            return Err(self.unexpected(&name, "a name of letters, digits, '_' and '-'"));
        }
        self.end()
    }

    fn config(&mut self) -> Result<(), SyntaxError> {
        let kind = self.required()?;
        if !kind.iter().all(u8::is_ascii_graphic) {
            return Err(self.unexpected(&kind, "a section type of printable ASCII"));
        }
        let name = self.argument()?;
        if !is_name(&name) {
            return Err(self.unexpected(&name, "a section name of letters, digits and '_'"));
        }
        self.end()?;
        let (kind, name) = (ascii(&kind), ascii(&name));
        if let Some(section) = self.named.get(&name).copied().filter(|_| !name.is_empty()) {
            if self.package.sections.get(section).is_some_and(|section| section.kind != kind) {
                return Err(
                    self.error(format!("section '{name}' of type '{kind}', expected its type of before"))
                );
            }
            self.section = Some(section);
            return Ok(());
        }
        let number = self.package.sections.len();
        let anonymous = name.is_empty();
        let name = if anonymous { made_up(number + 1, &kind) } else { name };
        self.named.entry(name.clone()).or_insert(number);
        self.package.sections.push(Section { kind, name, anonymous, options: Vec::new() });
        self.section = Some(number);
        Ok(())
    }

    fn option(&mut self, list: bool) -> Result<(), SyntaxError> {
        let Some(number) = self.section else {
            return Err(self.error("an option or list, expected a section before it"));
        };
        let name = self.required()?;
        if !is_name(&name) {
            return Err(self.unexpected(&name, "an option name of letters, digits and '_'"));
        }
        let value = self.argument()?;
        self.end()?;
        // To set nothing is to do nothing, where something is set already too.
        if value.is_empty() && !list {
            return Ok(());
        }
        let name = ascii(&name);
        let Some(section) = self.package.sections.get_mut(number) else { return Ok(()) };
        let at = *self.known.entry((number, name.clone())).or_insert(section.options.len());
        match (section.options.get_mut(at), list) {
            (None, false) => section.options.push(Entry { name, value: Value::One(value) }),
            (None, true) => section.options.push(Entry { name, value: Value::Many(vec![value]) }),
            (Some(entry), false) => entry.value = Value::One(value),
            (Some(Entry { value: Value::Many(values), .. }), true) => values.push(value),
            (Some(Entry { value: known, .. }), true) => {
                if let Value::One(first) = known {
                    *known = Value::Many(vec![std::mem::take(first), value]);
                }
            }
        }
        Ok(())
    }

    fn required(&mut self) -> Result<Vec<u8>, SyntaxError> {
        let word = self.argument()?;
        if word.is_empty() { Err(self.error("an argument is missing, expected a name")) } else { Ok(word) }
    }

    /// The end of a command.
    fn end(&mut self) -> Result<(), SyntaxError> {
        let word = self.argument()?;
        if word.is_empty() {
            Ok(())
        } else {
            Err(self.unexpected(&word, "the end of the line, which was expected"))
        }
    }

    /// The next word, unquoted; empty where the command or the line ends.
    fn argument(&mut self) -> Result<Vec<u8>, SyntaxError> {
        self.skip_blanks();
        let mut word = Vec::new();
        if self.next() == b';' {
            self.at += 1;
            return Ok(word);
        }
        let start = self.at;
        loop {
            match self.next() {
                0 => return Ok(word),
                b'#' => {
                    self.line.truncate(self.at);
                    return Ok(word);
                }
                b';' => {
                    self.semicolon(word.len() == self.at - start);
                    return Ok(word);
                }
                b'\'' => self.single_quoted(&mut word)?,
                b'"' => self.double_quoted(&mut word)?,
                b'\\' if !self.escapes() => {}
                _ => self.take(&mut word),
            }
            if is_blank(self.next()) {
                self.at += 1;
                return Ok(word);
            }
        }
    }

    /// A semicolon right behind a word. Behind a `plain` one libuci ends the line there; here only if nothing follows.
    fn semicolon(&mut self, plain: bool) {
        let after = self.line.get(self.at + 1..).unwrap_or_default();
        if plain && after.iter().all(|byte| is_blank(*byte)) {
            self.line.truncate(self.at);
        }
    }

    fn take(&mut self, word: &mut Vec<u8>) {
        word.push(self.next());
        self.at += 1;
    }

    /// Skips a backslash. Whether a byte follows to be taken literally, rather than the next line.
    fn escapes(&mut self) -> bool {
        self.at += 1;
        let after = self.line.get(self.at..).unwrap_or_default();
        let ends = matches!(after, [] | [b'\n', ..] | [b'\r', b'\n']);
        if ends {
            self.fill(self.at);
        }
        !ends
    }

    fn single_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), SyntaxError> {
        self.at += 1;
        loop {
            match self.next() {
                b'\'' => break,
                0 => self.continue_quote("'")?,
                _ => self.take(word),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn double_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), SyntaxError> {
        self.at += 1;
        loop {
            match self.next() {
                b'"' => break,
                0 => self.continue_quote("\"")?,
                b'\\' if !self.escapes() => {}
                _ => self.take(word),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn continue_quote(&mut self, quote: &str) -> Result<(), SyntaxError> {
        self.fill(self.at);
        if self.next() == 0 {
            Err(self.error(format!("the end of the file, expected {quote}")))
        } else {
            Ok(())
        }
    }
}

/// The name of the unnamed section that is the `number`th of all (`uci_fixup_section`).
fn made_up(number: usize, kind: &str) -> String {
    let hash = kind.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)));
    format!("cfg{number:02x}{:04x}", hash & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Value {
        Value::One(text.as_bytes().to_vec())
    }

    fn many(texts: &[&str]) -> Value {
        Value::Many(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
    }

    /// The options of the only section, `config x` put before them.
    fn options(text: &str) -> Vec<(String, Value)> {
        let mut package = parse(format!("config x\n{text}").as_bytes()).unwrap();
        let section = package.sections.remove(0);
        section.options.into_iter().map(|entry| (entry.name, entry.value)).collect()
    }

    #[test]
    fn sections_keep_their_order_and_names_and_unnamed_ones_get_a_name() {
        let package =
            parse(b"package l3roamd\n\nconfig l3roamd 'main'\nconfig y\nc y\nconfig l3roamd main").unwrap();
        let names: Vec<(&str, bool)> =
            package.sections.iter().map(|section| (section.name.as_str(), section.anonymous)).collect();
        assert_eq!(names, [("main", false), ("cfg02b61e", true), ("cfg03b61e", true)]);
        assert!(parse(b"config a x\nconfig b x\n").is_err(), "one name, two types");
    }

    #[test]
    fn words_are_quoted_escaped_continued_and_commented_as_in_libuci() {
        for (text, expected) in [
            ("option a b", "b"),
            ("\to a  'b c' # d", "b c"),
            ("option a b#c", "b"),
            ("option a 'b'\"c\"d", "bcd"),
            ("option a \"b\\\"c\\\\d\"", "b\"c\\d"),
            ("option a 'b\\c'", "b\\c"),
            ("option a b\\ c", "b c"),
            ("option a b\\\nc", "bc"),
            ("option a 'b\nc'", "b\nc"),
            ("option a b\r\n", "b"),
            ("option a b;", "b"),
            ("option a b; \n", "b"),
            ("option a ''\noption a b\noption a ''", "b"),
        ] {
            assert_eq!(options(text), [("a".to_owned(), one(expected))], "{text:?}");
        }
    }

    #[test]
    fn options_become_lists_and_lists_options_in_their_place() {
        let found = options("option a 1\noption b 2\nlist a 3\nlist c ''\nlist d 4\noption d 5\noption b 6");
        let expected = [("a", many(&["1", "3"])), ("b", one("6")), ("c", many(&[""])), ("d", one("5"))];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn a_command_behind_a_semicolon_is_read() {
        for text in ["option a 'b'; option c d", "option a b ; option c d", "option a b; option c d"] {
            let expected = [("a", one("b")), ("c", one("d"))].map(|(name, value)| (name.to_owned(), value));
            assert_eq!(options(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line_and_what_was_expected() {
        for (text, line, needle) in [
            ("option a b\n", 1, "section"),
            ("\nconfig\n", 2, "'config'"),
            ("config x y z\n", 1, "'z'"),
            ("config x\noption a-b c\n", 2, "a-b"),
            ("config x\n\noption a 'b\n", 3, "expected '"),
            ("config x 'a b'\n", 1, "'a b'"),
            ("config x\nfoo\tbar\n", 2, "'foo'"),
            ("config x\n\0", 2, "NUL"),
            ("package\n", 1, "package"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            let said = error.to_string();
            assert!(said.contains(needle) && !said.contains('\n'), "{text:?}: {said}");
        }
    }

    #[test]
    fn large_files_are_read_in_time_that_grows_with_their_length_only() {
        let sections: String = (0..100_000).map(|n| format!("c a s{n}\n")).collect();
        assert_eq!(parse(sections.as_bytes()).unwrap().sections.len(), 100_000);
        let options: String = (0..100_000).map(|n| format!("o a{n} b\n")).collect();
        assert_eq!(self::options(&options).len(), 100_000);
        let huge = format!("option a '{}'", "x\\\n".repeat(300_000));
        assert_eq!(self::options(&huge).len(), 1);
    }
}
