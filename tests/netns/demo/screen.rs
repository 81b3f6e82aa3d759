//! What goes to standard output: lines that stay, and on a terminal a panel beneath them that is drawn again in place.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::demo::sys as own;
use crate::sys;

/// How a piece of text looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// As text does.
    Plain,
    /// What names something.
    Faint,
    /// What is to be seen first.
    Strong,
    /// All is well.
    Good,
    /// Something is not.
    Bad,
    /// A client.
    Client,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Faint => "2",
            Self::Strong => "1",
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Client => "1;36",
        }
    }
}

/// A line of the panel: pieces of text with their looks.
pub type Line = Vec<(Look, String)>;

#[derive(Default)]
struct State {
    panel: Vec<Line>,
    /// How many lines of it stand on the terminal.
    drawn: usize,
}

/// Standard output.
pub struct Screen {
    terminal: bool,
    state: Mutex<State>,
}

impl Screen {
    /// What standard output is.
    pub fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|name| name == "dumb");
        Self { terminal: std::io::stdout().is_terminal() && !dumb, state: Mutex::default() }
    }

    /// Whether there is a panel.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line that stays, with the time before it.
    pub fn say(&self, text: &str) {
        self.print(&format!("{:7.2} s  {text}", sys::now().as_secs_f64()));
    }

    /// Announces a scene.
    pub fn headline(&self, text: &str) {
        if self.terminal {
            self.print(&format!("\n\x1b[{}m{text}\x1b[0m", Look::Strong.code()));
        } else {
            self.print(&format!("\n{text}"));
        }
    }

    /// Prints lines that stay.
    pub fn print(&self, text: &str) {
        let mut state = self.state();
        let mut output = erased(&mut state);
        let _ = writeln!(output, "{text}");
        self.draw(&mut state, output);
    }

    /// Shows another panel; an empty one goes.
    pub fn panel(&self, lines: Vec<Line>) {
        if self.terminal {
            let mut state = self.state();
            let output = erased(&mut state);
            state.panel = lines;
            self.draw(&mut state, output);
        }
    }

    /// Writes it all at once, so that nothing flickers.
    fn draw(&self, state: &mut State, mut output: String) {
        if self.terminal {
            let width = own::terminal_width().unwrap_or(80);
            for line in &state.panel {
                let _ = writeln!(output, "{}", rendered(line, width.saturating_sub(1)));
            }
            state.drawn = state.panel.len();
        }
        let mut standard = std::io::stdout().lock();
        let _ = standard.write_all(output.as_bytes()).and_then(|()| standard.flush());
    }
}

/// What takes the panel away.
fn erased(state: &mut State) -> String {
    match std::mem::take(&mut state.drawn) {
        0 => String::new(),
        drawn => format!("\x1b[{drawn}A\x1b[J"),
    }
}

/// A line with its looks, cut off at the width: one that the terminal breaks would not be taken away again.
fn rendered(line: &Line, width: usize) -> String {
    let mut left = width;
    let mut text = String::new();
    for (look, piece) in line {
        let piece: String = piece.chars().take(left).collect();
        left -= piece.chars().count();
        let _ = write!(text, "\x1b[{}m{piece}\x1b[0m", look.code());
    }
    text
}
