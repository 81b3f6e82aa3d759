//! What an option of `/etc/config/l3roamd` can be: how its text is read, kept and shown.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::settings::Settings;
use crate::net::{InvalidValue, decimal};

/// Items of a list at most, as many as the engine takes.
const MAX_ITEMS: usize = 64;
/// Probes of one address at most.
const MAX_PROBES: usize = 8;

/// The type of an option, and where its value is kept.
#[derive(Clone, Debug)]
pub enum Field {
    /// A truth value.
    Flag(fn(&mut Settings) -> &mut bool),
    /// A number.
    Number(RangeInclusive<u32>, fn(&mut Settings) -> &mut u32),
    /// A number of things.
    Count(RangeInclusive<u32>, fn(&mut Settings) -> &mut usize),
    /// A time in milliseconds.
    Millis(RangeInclusive<u32>, fn(&mut Settings) -> &mut Duration),
    /// Times in milliseconds.
    ManyMillis(RangeInclusive<u32>, fn(&mut Settings) -> &mut Vec<Duration>),
    /// Something else.
    One {
        /// The type's name.
        kind: &'static str,
        /// What is accepted.
        range: &'static str,
        /// Reads and keeps it.
        set: fn(&mut Settings, &str) -> Result<(), InvalidValue>,
        /// Shows it, where it is set.
        get: fn(&Settings) -> Option<String>,
    },
    /// Many of something else.
    Many {
        /// The type's name of an item.
        kind: &'static str,
        /// What is accepted.
        range: &'static str,
        /// Reads and keeps one more.
        add: fn(&mut Settings, &str) -> Result<(), InvalidValue>,
        /// Shows them.
        get: fn(&Settings) -> Vec<String>,
    },
}

/// What is wrong: the value and what was expected.
pub type Bad = (String, String);

impl Field {
    /// The type's name, as the schema has it.
    pub fn kind(&self) -> String {
        match self {
            Self::Flag(_) => "boolean".to_owned(),
            Self::Number(..) | Self::Count(..) => "number".to_owned(),
            Self::Millis(..) => "milliseconds".to_owned(),
            Self::ManyMillis(..) => "list of milliseconds".to_owned(),
            Self::One { kind, .. } => (*kind).to_owned(),
            Self::Many { kind, .. } => format!("list of {kind}"),
        }
    }

    /// What is accepted, as the schema has it.
    pub fn range(&self) -> String {
        match self {
            Self::Flag(_) => "0 or 1".to_owned(),
            Self::Number(range, _) | Self::Count(range, _) | Self::Millis(range, _) => {
                format!("{} to {}", range.start(), range.end())
            }
            Self::ManyMillis(range, _) => {
                format!("1 to {MAX_PROBES} of {} to {}", range.start(), range.end())
            }
            Self::One { range, .. } => (*range).to_owned(),
            Self::Many { range, .. } => format!("at most {MAX_ITEMS}; {range}"),
        }
    }

    /// Whether several values are accepted.
    pub const fn is_list(&self) -> bool {
        matches!(self, Self::ManyMillis(..) | Self::Many { .. })
    }

    /// The values as UCI has them; none where it is not set.
    pub fn show(&self, settings: &Settings) -> Vec<String> {
        let mut copy = settings.clone();
        match self {
            Self::Flag(at) => vec![u8::from(*at(&mut copy)).to_string()],
            Self::Number(_, at) => vec![at(&mut copy).to_string()],
            Self::Count(_, at) => vec![at(&mut copy).to_string()],
            Self::Millis(_, at) => vec![at(&mut copy).as_millis().to_string()],
            Self::ManyMillis(_, at) => {
                at(&mut copy).iter().map(|time| time.as_millis().to_string()).collect()
            }
            Self::One { get, .. } => get(settings).into_iter().collect(),
            Self::Many { get, .. } => get(settings),
        }
    }

    /// Sets the option to what is given. What is wrong is told and not taken; of a list what is right is.
    pub fn take(&self, settings: &mut Settings, texts: &[String]) -> Vec<Bad> {
        let taken = match self {
            Self::ManyMillis(range, at) => words(texts)
                .map(|word| millis(word, range))
                .collect::<Result<Vec<Duration>, Bad>>()
                .and_then(|times| match times.len() {
                    1..=MAX_PROBES => Ok(times),
                    _ => Err((texts.join(" "), format!("a list of 1 to {MAX_PROBES} times"))),
                })
                .map(|times| *at(settings) = times),
            Self::Many { add, get, .. } => {
                return words(texts)
                    .filter_map(|word| {
                        if get(settings).len() >= MAX_ITEMS {
                            return Some((
                                word.to_owned(),
                                format!("one of the first {MAX_ITEMS}, more are not used"),
                            ));
                        }
                        add(settings, word).map_err(bad).err()
                    })
                    .collect();
            }
            _ => match texts {
                [text] => self.take_one(settings, text),
                _ => Err((texts.join(" "), "a single value".to_owned())),
            },
        };
        taken.err().into_iter().collect()
    }

    fn take_one(&self, settings: &mut Settings, text: &str) -> Result<(), Bad> {
        match self {
            Self::Flag(at) => *at(settings) = boolean(text).map_err(bad)?,
            Self::Number(range, at) => *at(settings) = number(text, range, "a number")?,
            Self::Count(range, at) => {
                // At most 32 bits, and so wide is usize at least wherever Linux runs.
                *at(settings) = usize::try_from(number(text, range, "a number")?).unwrap_or(usize::MAX);
            }
            Self::Millis(range, at) => *at(settings) = millis(text, range)?,
            Self::One { set, .. } => set(settings, text).map_err(bad)?,
            Self::ManyMillis(..) | Self::Many { .. } => {}
        }
        Ok(())
    }
}

fn bad(error: InvalidValue) -> Bad {
    (error.value, error.expected.to_owned())
}

/// `option x 'a b'` and `list x` twice are the same.
fn words(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split_ascii_whitespace())
}

/// As `config_get_bool` of OpenWrt's functions.sh.
fn boolean(text: &str) -> Result<bool, InvalidValue> {
    match text {
        "1" | "on" | "true" | "yes" | "enabled" => Ok(true),
        "0" | "off" | "false" | "no" | "disabled" => Ok(false),
        _ => Err(InvalidValue::new(
            text,
            "a boolean: 1 (on, true, yes, enabled) or 0 (off, false, no, disabled)",
        )),
    }
}

fn number(text: &str, range: &RangeInclusive<u32>, what: &str) -> Result<u32, Bad> {
    let expected = || (text.to_owned(), format!("{what} from {} to {}", range.start(), range.end()));
    decimal(text).filter(|number| range.contains(number)).ok_or_else(expected)
}

fn millis(text: &str, range: &RangeInclusive<u32>) -> Result<Duration, Bad> {
    number(text, range, "a time in milliseconds").map(|millis| Duration::from_millis(u64::from(millis)))
}
