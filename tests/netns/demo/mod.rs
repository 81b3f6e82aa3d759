//! The demonstration: a mesh to look at, with clients that walk through it while things break. See `tests/demo --help`.

mod journal;
mod keep;
mod report;
mod scenes;
mod screen;
mod stage;
mod svg;
mod sys;
pub mod traffic;
mod view;
mod way;
mod xml;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::isolate;
use crate::measure::{Outcome, SchedulingDelay, must};
use crate::routing::Routing;
use crate::trail::Trail;
use crate::{Needs, Test};
use scenes::{PHONE, Pace, play};
use screen::Screen;
use stage::Stage;

/// The tests of this file.
pub const TESTS: &[Test] =
    &[("the_demonstration_loses_no_packet_and_draws_what_happened", Needs::Bird, short)];

/// What is asked for.
struct Wish {
    keep: bool,
    roams: usize,
    report: PathBuf,
}

impl Wish {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let report = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/out/demo.svg");
        let mut wish = Self { keep: false, roams: 6, report };
        let number = |word: &str| word.parse().map_err(|_| format!("--roams wants a number, not {word:?}"));
        while let Some(word) = words.next() {
            match word.as_str() {
                "--keep" => wish.keep = true,
                "--roams" => wish.roams = number(&words.next().unwrap_or_default())?,
                "--report" => wish.report = words.next().ok_or("--report wants a file")?.into(),
                // As it was.
                other if other.starts_with(|sign: char| sign.is_ascii_digit()) => wish.roams = number(other)?,
                other => return Err(format!("unknown word {other:?}: see tests/demo --help")),
            }
        }
        Ok(wish)
    }
}

/// Shows it all, as the words after `demo` ask.
pub fn main(words: impl Iterator<Item = String>) -> ExitCode {
    let refuse = |why: String| {
        eprintln!("The demonstration cannot run: {why}.");
        ExitCode::FAILURE
    };
    let wish = match Wish::read(words) {
        Ok(wish) => wish,
        Err(why) => return refuse(why),
    };
    // The web pages are served where the user is, outside of the namespaces.
    let gifts = if wish.keep && !isolate::is_inside() { keep::gifts() } else { Vec::new() };
    let sockets = if isolate::is_inside() { keep::inherited() } else { Vec::new() };
    if let Err(why) = isolate::isolate_with(&gifts) {
        return refuse(why);
    }
    if let Some(why) = crate::missing(Needs::Nothing) {
        return refuse(why);
    }
    let routing = match stage::routing() {
        Ok(routing) => routing,
        Err(why) => return refuse(why),
    };
    sys::catch_signals();
    let staying = AtomicBool::new(false);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| end_when_told(&staying, &ended));
        let code = std::panic::catch_unwind(|| run(&wish, sockets, routing, &staying));
        ended.store(true, Ordering::Relaxed);
        code.unwrap_or(ExitCode::FAILURE)
    })
}

/// Ends the process, and with it its namespaces and everything in them, as soon as a signal asks for it.
fn end_when_told(staying: &AtomicBool, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        if sys::stopped() {
            println!("\nThe mesh and all its processes are gone.");
            std::process::exit(if staying.load(Ordering::Relaxed) { 0 } else { 130 });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn run(
    wish: &Wish,
    sockets: Vec<keep::Outside>,
    routing: (Routing, &'static str),
    staying: &AtomicBool,
) -> ExitCode {
    // A signal reaches the daemons too: whoever misses them then is about to end.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if sys::stopped() {
            std::thread::sleep(Duration::from_secs(5));
        }
        hook(panic);
    }));
    let screen = Screen::new();
    screen.print("A mesh of four nodes in a chain, a - b - c - d, in network namespaces of this machine.");
    screen.print("Its routing daemons look for each other, which takes up to 20 s.");
    let stage = Stage::new(screen, routing);
    let delay = SchedulingDelay::start();
    shown(&stage, || play(&stage, wish.roams, &Pace::calm()));
    let delay = delay.stop();
    report::print(&stage, delay);
    match std::fs::create_dir_all(wish.report.parent().unwrap_or(Path::new(".")))
        .and_then(|()| std::fs::write(&wish.report, svg::draw(&stage)))
    {
        Ok(()) => stage.screen.print(&format!("\nA picture of all that: {}", wish.report.display())),
        Err(error) => stage.screen.print(&format!("\ncannot write {}: {error}", wish.report.display())),
    }
    if wish.keep {
        staying.store(true, Ordering::Relaxed);
        keep::stay(&stage, sockets);
        return ExitCode::SUCCESS;
    }
    if report::lost(&stage, PHONE) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does something while it is shown.
fn shown(stage: &Stage, work: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| view::show(stage, &stop));
        scope.spawn(|| view::narrate(stage, &stop));
        scope.spawn(|| way::follow(stage, &stop));
        let ended = Ending(&stop);
        work();
        drop(ended);
    });
}

/// Has the watchers end, also when the work panics.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A few roams at a brisk pace.
fn short() -> Outcome {
    let routing = stage::routing().map_err(crate::measure::Trouble::Broken)?;
    let stage = Stage::new(Screen::new(), routing);
    let mut trail = Trail::watch(&stage.lab);
    let delay = SchedulingDelay::start();
    shown(&stage, || play(&stage, 3, &Pace::brisk()));
    let delay = delay.stop();
    trail.stop();
    report::print(&stage, delay);
    for number in stage.guests[PHONE].traffic.lost_numbers().into_iter().take(20) {
        crate::measure::say(&format!("lost: {}", trail.of(number)));
    }
    xml::check(&svg::draw(&stage))?;
    must(stage.journal().moves.iter().all(|one| one.handover.is_some()), "a client was not handed over")?;
    let lost = report::lost(&stage, PHONE);
    must(lost == 0, format!("{lost} packets of the client that talks are lost"))
}
