//! Where log lines go: standard error, one line each, `level message field=value`. procd hands them to syslog.
//!
//! A subscriber of our own, because tracing-subscriber costs as much flash as the rest of the daemon's logic.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::engine::command::LogLevel;

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static ADDRESSES: AtomicBool = AtomicBool::new(false);

/// Starts logging. Later calls change the settings only.
pub fn start(level: LogLevel, show_addresses: bool) {
    set_level(level);
    self::show_addresses(show_addresses);
    // Fails where a subscriber (ours, or that of a test) is there already: lines go there.
    let _ = tracing::subscriber::set_global_default(Stderr);
}

/// Changes how much is logged, at once and for all.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// How much is logged now.
pub fn level() -> LogLevel {
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    let level = LEVEL.load(Ordering::Relaxed);
    levels.into_iter().find(|known| *known as u8 == level).unwrap_or(LogLevel::Info)
}

/// Changes whether data of clients is shown.
pub fn show_addresses(show: bool) {
    ADDRESSES.store(show, Ordering::Relaxed);
}

/// Data of clients: shown only where the operator wants it in logs (`--log-addresses`).
#[derive(Clone, Copy)]
pub struct Sensitive<T>(pub T);

impl<T: fmt::Display> fmt::Display for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if ADDRESSES.load(Ordering::Relaxed) { self.0.fmt(f) } else { f.write_str("<hidden>") }
    }
}

impl<T: fmt::Display> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text with everything that would break a line replaced.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The subscriber.
struct Stderr;

fn rank(level: Level) -> u8 {
    let level = match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        _ => LogLevel::Trace,
    };
    level as u8
}

impl Subscriber for Stderr {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level changes at run time: ask each time, it costs one load.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        rank(*metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn event(&self, event: &Event<'_>) {
        // One write for one line. A log that nobody reads must not end the daemon.
        let _ = std::io::stderr().lock().write_all(line(event).as_bytes());
    }

    // Spans are not used.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn line(event: &Event<'_>) -> String {
    let mut line = Line::default();
    event.record(&mut line);
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        _ => "trace",
    };
    format!("{level} {}{}\n", line.message, line.fields)
}

/// Gathers the fields of an event.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = one_line(value);
        } else if value.is_empty()
            || value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"')
        {
            // Writing to a String does not fail.
            let _ = write!(self.fields, " {field}={value:?}");
        } else {
            let _ = write!(self.fields, " {field}={value}");
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps the lines that [`Stderr`] would write.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            Stderr.enabled(metadata)
        }
        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(line(event));
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn an_event_is_one_line_the_level_changes_and_client_data_is_hidden() {
        let kept = Kept::default();
        tracing::subscriber::with_default(kept.clone(), || {
            tracing::info!(interface = "br client", count = 3, name = %"a\nb", "some\nthing happened");
            tracing::debug!("hidden by the level");
            set_level(LogLevel::Trace);
            tracing::trace!(client = %Sensitive("02:00:5e:10:00:01"), "packet");
            ADDRESSES.store(true, Ordering::Relaxed);
            tracing::trace!(client = %Sensitive("02:00:5e:10:00:01"), "packet");
            ADDRESSES.store(false, Ordering::Relaxed);
            set_level(LogLevel::Info);
        });
        let lines = kept.0.lock().unwrap();
        let expected = [
            "info some thing happened interface=\"br client\" count=3 name=\"a\\nb\"\n",
            "trace packet client=<hidden>\n",
            "trace packet client=02:00:5e:10:00:01\n",
        ];
        assert_eq!(*lines, expected);
    }
}
