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

/// Takes the measurement from a line that another process printed.
#[allow(dead_code, reason = "tests/luci has one process")]
pub fn note(line: &str) {
    if let Some((what, value)) = line.strip_prefix("measure: ").and_then(|rest| rest.split_once(": ")) {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((what.to_owned(), value.to_owned()));
    }
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

/// What came of a test.
#[derive(Debug)]
pub enum Verdict {
    /// Everything holds.
    Passed,
    /// Something does not.
    Failed(String),
    /// A bound was missed on a machine that lets everybody wait: the figure says nothing of the
    /// daemon.
    NotJudged(String),
}

impl Verdict {
    /// One line for another process.
    #[allow(dead_code, reason = "tests/luci has one process")]
    pub fn line(&self) -> String {
        let flat = |why: &str| why.replace('\n', "\\n");
        match self {
            Self::Passed => "verdict: passed".into(),
            Self::Failed(why) => format!("verdict: failed: {}", flat(why)),
            Self::NotJudged(why) => format!("verdict: not judged: {}", flat(why)),
        }
    }

    /// The verdict in a line, if it has one.
    #[allow(dead_code, reason = "tests/luci has one process")]
    pub fn parse(line: &str) -> Option<Self> {
        let word = line.strip_prefix("verdict: ")?;
        let why = |text: &str| text.replace("\\n", "\n");
        let failed = || word.strip_prefix("failed: ").map(|text| Self::Failed(why(text)));
        let not_judged = || word.strip_prefix("not judged: ").map(|text| Self::NotJudged(why(text)));
        (word == "passed").then_some(Self::Passed).or_else(failed).or_else(not_judged)
    }

    /// The same for the runner.
    pub fn completion(self) -> Result<Completion, Failed> {
        match self {
            Self::Passed => Ok(Completion::Completed),
            Self::Failed(why) => Err(why.into()),
            Self::NotJudged(why) => Ok(Completion::ignored_with(format!("not judged: {why}"))),
        }
    }
}

/// Attempts at a bound on a machine that lets everybody wait.
const ATTEMPTS: u32 = 3;
/// Attempts on a quiet one.
const QUIET_ATTEMPTS: u32 = 2;
/// A test that lasted longer is not repeated on account of a noisy machine.
const LASTING: Duration = Duration::from_secs(60);

/// Whether the long form is asked for.
fn is_long() -> bool {
    std::env::var_os("L3ROAMD_LONG").is_some()
}

/// Runs a test; if only a bound was missed, again. What is missed on a quiet machine fails in the
/// long form. The short form runs on machines of any speed, and some are throttled to a quarter of
/// what they were an hour before: there the miss is told and not judged, as each miss is on a noisy
/// machine.
pub fn judge(name: &str, test: fn() -> Outcome) -> Verdict {
    FRESH.store(true, Ordering::Relaxed);
    let mut quiet = 0;
    for attempt in 1.. {
        let (delay, begin) = (SchedulingDelay::start(), sys::now());
        let outcome = std::panic::catch_unwind(test).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Trouble::Broken(text.unwrap_or_else(|| "panicked".into())))
        });
        let (delay, took) = (delay.stop_counting(), sys::now() - begin);
        say(&format!("took {:.1} s, {delay}", took.as_secs_f64()));
        if outcome.is_err() {
            keep_logs(name);
        }
        match outcome {
            Ok(()) => return Verdict::Passed,
            Err(Trouble::Broken(why)) if !delay.is_standstill() => return Verdict::Failed(why),
            Err(Trouble::Broken(why) | Trouble::Bound(why)) => {
                println!("missed (attempt {attempt}): {why}");
                quiet += u32::from(!delay.is_noise());
                if quiet >= QUIET_ATTEMPTS && is_long() {
                    return Verdict::Failed(why);
                }
                if quiet >= QUIET_ATTEMPTS {
                    return Verdict::NotJudged(format!("{why}; {delay}; the long form judges it"));
                }
                if attempt >= ATTEMPTS || (delay.is_noise() && took > LASTING) {
                    return Verdict::NotJudged(format!("{why}; {delay}"));
                }
            }
        }
    }
    unreachable!("some attempt returns")
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

/// Longer than anything takes that works, on any machine.
#[allow(dead_code, reason = "not every program waits for that")]
pub const LIMIT: Duration = Duration::from_secs(60);

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

/// How late a thread woke that slept in turns, and how long another waited for the kernel's lock of
/// all network settings, for which whatever changes a route waits, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delay {
    /// At worst.
    pub worst: Duration,
    turns: u32,
    late: u32,
    locked: Locked,
}

/// How long the lock was waited for, at worst, and how often it was long.
#[derive(Clone, Copy, Debug, Default)]
struct Locked {
    worst: Duration,
    turns: u32,
    late: u32,
}

impl Delay {
    const LATE: Duration = Duration::from_millis(1);
    /// No number of busy loops makes a thread wait for that long.
    const STANDSTILL: Duration = Duration::from_secs(1);

    /// Whether the machine stood still for so long that the daemons' own limits, which are seconds,
    /// ran out meanwhile: what a client does in time on any other machine it does too late here,
    /// and packets are lost.
    pub fn is_standstill(&self) -> bool {
        self.worst >= Self::STANDSTILL || self.locked.worst >= Self::STANDSTILL
    }

    /// Whether a measurement of milliseconds means nothing beside it.
    pub fn is_noise(&self) -> bool {
        // The lab takes the lock, too, while it is built.
        let locked = self.locked.late * 10 > self.locked.turns;
        self.worst >= Duration::from_millis(10)
            || self.late * 50 >= self.turns.max(1)
            || locked
            || self.is_standstill()
    }
}

impl std::fmt::Display for Delay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = 100.0 * f64::from(self.late) / f64::from(self.turns.max(1));
        let lock = 100.0 * f64::from(self.locked.late) / f64::from(self.locked.turns.max(1));
        let (worst, longest) = (self.worst, self.locked.worst);
        write!(formatter, "scheduling delay at most {worst:.1?}, over 1 ms in {percent:.1} %; ")?;
        write!(formatter, "lock of the network at most {longest:.1?}, over 10 ms in {lock:.1} %")
    }
}

impl Locked {
    fn sample(stop: &AtomicBool) -> Self {
        let mut locked = Self::default();
        while !stop.load(Ordering::Relaxed) {
            let before = sys::now();
            if sys::touch_loopback().is_err() {
                return locked;
            }
            let took = sys::now() - before;
            locked.worst = locked.worst.max(took);
            locked.turns += 1;
            locked.late += u32::from(took >= Duration::from_millis(10));
            std::thread::sleep(Duration::from_millis(20));
        }
        locked
    }
}

/// Sleeps in turns of 2 ms and notes how late it wakes.
pub struct SchedulingDelay {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Delay>,
    locks: JoinHandle<Locked>,
}

impl SchedulingDelay {
    /// Begins.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let turn = Duration::from_millis(2);
                let mut delay = Delay::default();
                while !stop.load(Ordering::Relaxed) {
                    let before = sys::now();
                    std::thread::sleep(turn);
                    let late = (sys::now() - before).saturating_sub(turn);
                    delay.worst = delay.worst.max(late);
                    delay.turns += 1;
                    delay.late += u32::from(late >= Delay::LATE);
                }
                delay
            }
        });
        let locks = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || Locked::sample(&stop)
        });
        Self { stop, thread, locks }
    }

    /// Ends. The longest delay meanwhile.
    #[allow(dead_code, reason = "not every program wants it")]
    pub fn stop(self) -> Duration {
        self.stop_counting().worst
    }

    /// Ends. All there is to know.
    pub fn stop_counting(self) -> Delay {
        self.stop.store(true, Ordering::Relaxed);
        let locked = self.locks.join().unwrap_or_default();
        Delay { locked, ..self.thread.join().unwrap_or_default() }
    }
}
