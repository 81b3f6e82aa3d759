//! The command file (`-c`): one command on each line, by either of its names; `#` begins a comment.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::engine::Command;
use crate::engine::command::GrammarError;

/// Larger files are no command files: the table of commands needs some 60 bytes for each interface or prefix.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a command file is refused. Nothing of it is used then.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{path}: {problem}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A line of it is wrong.
    #[error("{path}:{line}: {error}", path = .path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        error: GrammarError,
    },
}

/// Reads the command file `path`.
///
/// # Errors
/// Where it cannot be read, is larger than 1 MiB or no text, or one of its lines is no command.
pub fn read(path: &Path) -> Result<Vec<Command>, FileError> {
    let unreadable = |problem: String| FileError::Unreadable { path: path.to_owned(), problem };
    let load = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = load().map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("more than {MAX_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unreadable("no text in UTF-8".to_owned()))?;
    parse(&text).map_err(|(line, error)| FileError::BadLine { path: path.to_owned(), line, error })
}

/// Reads the text of a command file. An error comes with its line, counted from 1.
fn parse(text: &str) -> Result<Vec<Command>, (usize, GrammarError)> {
    let lines = text.lines().enumerate().map(|(number, line)| {
        let line = line.split_once('#').map_or(line, |(command, _)| command).trim();
        (number + 1, line)
    });
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| line.parse().map_err(|error| (number, error)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_skipped_and_both_names_are_read() {
        let text = "# all\n\n  add-prefix 10.0.0.0/8 # ours\r\nadd_meshif mesh0\n\t\nset-export-table 10";
        let names: Vec<&str> = parse(text).unwrap().iter().map(|command| command.spec().name).collect();
        assert_eq!(names, ["add-prefix", "attach-mesh-interface", "set-export-table"]);
    }

    #[test]
    fn an_error_names_file_and_line() {
        let path = std::env::temp_dir().join(format!("l3roamd-command-file-{}", std::process::id()));
        std::fs::write(&path, "get-clients\n# x\nadd-prefix 10.0.0.1/8\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains(&format!("{}:3: ", path.display())), "{error}");
        assert!(error.contains("10.0.0.1/8"), "{error}");
        let gone = read(&path).unwrap_err().to_string();
        assert!(gone.contains(&path.display().to_string()) && !gone.contains('\n'), "{gone}");
    }

    #[test]
    fn a_file_without_end_is_refused() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("more than"));
    }
}
