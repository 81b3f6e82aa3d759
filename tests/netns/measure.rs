//! What tests say and how they judge: measured lines, a table at the end, bounds with one repetition.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use libtest_mimic::{Completion, Failed};

use crate::sys;

static FRESH: AtomicBool = AtomicBool::new(false);
static LINES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Why a test is not content.
#[derive(Debug)]
pub enum Trouble {
    /// Something is wrong.
    Broken(String),
    /// A number is beyond its bound; on a noisy machine that is tried once more.
    Bound(String),
}

/// What a test ends with.
pub type Outcome = Result<(), Trouble>;

/// Demands what no noise excuses.
pub fn must(condition: bool, what: impl Into<String>) -> Outcome {
    if condition { Ok(()) } else { Err(Trouble::Broken(what.into())) }
}

/// Demands a bound.
pub fn bound(condition: bool, what: impl Into<String>) -> Outcome {
    if condition { Ok(()) } else { Err(Trouble::Bound(what.into())) }
}

/// Prints a line of a test. The first one ends the line that the runner began with the test's name.
pub fn say(line: &str) {
    if FRESH.swap(false, Ordering::Relaxed) {
        println!();
    }
    println!("{line}");
}

/// Reports a measurement.
pub fn measure(what: &str, value: impl Into<String>) {
    let value = value.into();
    say(&format!("measure: {what}: {value}"));
    LINES.lock().unwrap_or_else(PoisonError::into_inner).push((what.to_owned(), value));
}

/// Prints all measurements as one table.
pub fn print_table() {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.is_empty() {
        return;
    }
    println!("\n| measured | value |\n|---|---|");
    for (what, value) in lines.iter() {
        println!("| {what} | {value} |");
    }
}

/// Runs a test; where only a bound was missed, once more.
pub fn judge(name: &str, test: fn() -> Outcome) -> Result<Completion, Failed> {
    FRESH.store(true, Ordering::Relaxed);
    for attempt in 1..=2 {
        let (delay, begin) = (SchedulingDelay::start(), sys::now());
        let outcome = std::panic::catch_unwind(test).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Trouble::Broken(text.unwrap_or_else(|| "panicked".into())))
        });
        let delay = delay.stop();
        say(&format!("took {:.1} s", (sys::now() - begin).as_secs_f64()));
        if outcome.is_err() {
            keep_logs(name);
        }
        match outcome {
            Ok(()) => return Ok(Completion::Completed),
            Err(Trouble::Broken(why)) => return Err(why.into()),
            Err(Trouble::Bound(why)) => {
                println!(
                    "bound missed (attempt {attempt} of 2): {why}; longest scheduling delay meanwhile {delay:.1?}"
                );
                if attempt == 2 {
                    return Err(why.into());
                }
            }
        }
    }
    unreachable!("the second attempt returns")
}

/// Copies what the daemons of the last lab printed to tests/out, where it outlives the process.
fn keep_logs(name: &str) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/out/netns").join(name);
    let _ = std::fs::create_dir_all(&kept);
    let labs = std::fs::read_dir(crate::isolate::RUN).into_iter().flatten().flatten();
    for file in labs.flat_map(|lab| std::fs::read_dir(lab.path())).flatten().flatten() {
        if file.path().extension().is_some_and(|extension| extension == "log") {
            let _ = std::fs::copy(file.path(), kept.join(file.file_name()));
        }
    }
    say(&format!("the daemons' logs are in {}", kept.display()));
}

/// Median, 95th percentile and worst of some durations, in milliseconds.
pub fn spread(values: &[Duration]) -> String {
    let ms = |value: Duration| value.as_secs_f64() * 1e3;
    format!(
        "median {:.1} ms, 95th {:.1} ms, worst {:.1} ms",
        ms(percentile(values, 50)),
        ms(percentile(values, 95)),
        ms(percentile(values, 100))
    )
}

/// The value below which `percent` of the values lie.
pub fn percentile<T: Copy + Ord + Default>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or_default()
}

/// Waits until something is true. Whether it became so.
pub fn eventually(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = sys::now() + timeout;
    loop {
        if condition() {
            return true;
        }
        if sys::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sleeps in turns of 2 ms and notes how late it wakes.
pub struct SchedulingDelay {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl SchedulingDelay {
    /// Begins.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let turn = Duration::from_millis(2);
                let mut worst = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let before = sys::now();
                    std::thread::sleep(turn);
                    worst = worst.max((sys::now() - before).saturating_sub(turn));
                }
                worst
            }
        });
        Self { stop, thread }
    }

    /// Ends. The longest delay meanwhile.
    pub fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}
