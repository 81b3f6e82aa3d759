//! Reads a request line: by our grammar, and as tolerantly as the C daemon for its own names.

use crate::engine::Command;
use crate::engine::command::{Argument, COMMANDS, CommandSpec};

use super::reply::{Style, error};

/// A request that can be carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What to do.
    pub command: Command,
    /// How to answer.
    pub style: Style,
    /// The text behind the name.
    pub arguments: String,
}

/// Reads a request line without its end.
///
/// # Errors
/// The answer to a line that is no command.
pub fn parse(line: &[u8]) -> Result<Line, String> {
    let line = std::str::from_utf8(line).map_err(|_| error(&"request is no text in UTF-8"))?;
    let line = line.trim_start_matches(' ');
    let (name, arguments) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if let Some(spec) = COMMANDS.iter().find(|spec| is_c_name(spec, name)) {
        return parse_c(spec, arguments);
    }
    let command = line.parse().map_err(|problem| error(&problem))?;
    Ok(Line { command, style: Style::Own, arguments: arguments.to_owned() })
}

/// The C daemon compares the beginning of the line only: what follows a name without arguments does not matter to it.
fn is_c_name(spec: &CommandSpec, name: &str) -> bool {
    spec.c_name.is_some_and(|c_name| name == c_name || spec.arguments.is_empty() && name.starts_with(c_name))
}

fn parse_c(spec: &'static CommandSpec, arguments: &str) -> Result<Line, String> {
    // It ignores surplus words.
    let words: Vec<&str> = arguments.split_ascii_whitespace().take(spec.arguments.len()).collect();
    let command = Command::from_words(spec, &words).map_err(|problem| {
        let no_address = words.first().is_some_and(|word| word.parse::<std::net::IpAddr>().is_err());
        let complete = words.len() == spec.arguments.len();
        match spec.arguments {
            // Its one documented refusal (add_address, del_address; probe stays silent and so says more with ours).
            [Argument::Address, Argument::Client] if complete && no_address && spec.name != "probe" => {
                "NOT OK".to_owned()
            }
            _ => error(&problem),
        }
    })?;
    Ok(Line { command, style: Style::C, arguments: arguments.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(line: &str) -> (&'static str, Style) {
        let line = parse(line.as_bytes()).unwrap();
        (line.command.spec().name, line.style)
    }

    #[test]
    fn names_of_the_c_daemon_are_read_as_tolerantly_as_it_does() {
        assert_eq!(name("get_clients"), ("get-clients", Style::C));
        assert_eq!(name("get_clients   "), ("get-clients", Style::C));
        assert_eq!(name("get_clients foo bar"), ("get-clients", Style::C));
        assert_eq!(name("get_clientsfoo"), ("get-clients", Style::C));
        assert_eq!(name("add_prefix 10.0.0.0/8 "), ("add-prefix", Style::C));
        assert_eq!(name("has_route 2001:db8::1 x y"), ("has-route", Style::C));
        assert_eq!(name("verbosity none"), ("set-log-level", Style::C));
        assert_eq!(name("probe 10.0.0.1 02:00:5e:10:00:01"), ("probe", Style::C));
    }

    #[test]
    fn our_names_are_read_strictly() {
        assert_eq!(name("get-clients "), ("get-clients", Style::Own));
        assert!(parse(b"get-clients foo").is_err());
        assert!(parse(b"get-clientsfoo").is_err());
    }

    #[test]
    fn bad_lines_get_one_line_of_error_and_not_ok_where_the_c_daemon_says_so() {
        for (line, answer) in [
            (&b"add_address bogus 02:00:5e:10:00:01"[..], "NOT OK"),
            (b"del_address bogus 02:00:5e:10:00:01", "NOT OK"),
        ] {
            assert_eq!(parse(line), Err(answer.to_owned()));
        }
        for line in [
            &b""[..],
            b"   ",
            b"nonsense",
            b"\xff\xfe",
            b"get",
            b"add_meshif",
            b"add_meshif ",
            b"del_meshif",
            b"add_prefix",
            b"add_prefix foo",
            b"del_prefix foo",
            b"verbosity",
            b"verbosity loud",
            b"has_route",
            b"has_route foo",
            b"add_address",
            b"add_address 2001:db8::1",
            b"add_address 2001:db8::1 nonsense",
            b"del_address 2001:db8::1",
            b"probe",
            b"probe 2001:db8::1",
            b"probe bogus 02:00:5e:10:00:01",
            b"add_meshif \x01\x02/",
        ] {
            let answer = parse(line).unwrap_err();
            assert!(answer.starts_with("error: ") && answer.ends_with('\n'), "{line:?}: {answer:?}");
            assert_eq!(answer.lines().count(), 1, "{line:?}: {answer:?}");
        }
    }
}
