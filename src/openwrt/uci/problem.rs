//! What is wrong with a configuration, for the operator who wrote it.

use std::path::PathBuf;

use thiserror::Error;

/// Something about a configuration file. Its text is one line that names file, section, option, value and what was expected, as far
/// as there are these.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("{file}: {problem}", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        problem: String,
    },
    /// The file is no UCI text. Nothing of it is used.
    #[error("{file}:{line}: {problem}", file = .file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What was read and what was expected.
        problem: String,
    },
    /// An option has a wrong value. Its default is used, or of a list what is right in it.
    #[error("{file}: section '{section}', option '{option}': '{value}' is not {expected}", file = .file.display())]
    BadValue {
        /// The file.
        file: PathBuf,
        /// The section's name.
        section: String,
        /// The option's name.
        option: String,
        /// What it is set to, shortened.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// An option is missing that should be there.
    #[error("{file}: section '{section}', option '{option}': missing, expected {expected}", file = .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The section's name.
        section: &'static str,
        /// The option's name.
        option: &'static str,
        /// What was expected.
        expected: &'static str,
        /// Whether the daemon can do without.
        dispensable: bool,
    },
    /// A section is not known. Nothing of it is used.
    #[error(
        "{file}: section '{section}' of type '{kind}': unknown, expected l3roamd 'main', timers 'timers' or limits 'limits'",
        file = .file.display()
    )]
    UnknownSection {
        /// The file.
        file: PathBuf,
        /// The section's name.
        section: String,
        /// Its type.
        kind: String,
    },
    /// An option is not known. It is not used.
    #[error("{file}: section '{section}', option '{option}': unknown, expected one of uci/schema.md", file = .file.display())]
    UnknownOption {
        /// The file.
        file: PathBuf,
        /// The section's name.
        section: String,
        /// The option's name.
        option: String,
    },
}

impl Problem {
    /// Whether the configuration can be used as it is all the same.
    pub const fn is_warning(&self) -> bool {
        match self {
            Self::UnknownSection { .. } | Self::UnknownOption { .. } => true,
            Self::Missing { dispensable, .. } => *dispensable,
            Self::Unreadable { .. } | Self::Syntax { .. } | Self::BadValue { .. } => false,
        }
    }
}

/// A value as a problem shows it: shortened, without what would break a line.
pub(super) fn shown(value: &str) -> String {
    value.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}
