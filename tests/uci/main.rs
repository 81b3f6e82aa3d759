//! Our parser of UCI beside libuci: what one refuses the other refuses, and what they make of a file is the same.
#![allow(missing_docs, reason = "a program of tests: the names are sentences")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test panics, and says what it compared"
)]

mod files;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use files::Random;
use l3roamd::openwrt::uci::parser::{self, Value};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// How many files are compared.
fn files() -> u64 {
    if std::env::var_os("L3ROAMD_LONG").is_some() { 200_000 } else { 10_000 }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        Trial::test("any_file_is_read_or_refused", || {
            read_all();
            Ok(())
        }),
        match prefix() {
            Ok(prefix) => {
                Trial::ignorable_test("files_are_what_libuci_makes_of_them", move || compare_all(&prefix))
            }
            Err(reason) => Trial::ignorable_test("files_are_what_libuci_makes_of_them", move || {
                Ok(Completion::ignored_with(&reason))
            }),
        },
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Where libuci is installed.
fn prefix() -> Result<PathBuf, String> {
    let prefix =
        std::env::var_os("L3ROAMD_UCI").ok_or("set L3ROAMD_UCI to a prefix where libuci is installed")?;
    let prefix = PathBuf::from(prefix);
    if !prefix.join("include/uci.h").exists() {
        return Err(format!("L3ROAMD_UCI: {} has no include/uci.h", prefix.display()));
    }
    let compiler = Command::new("cc").arg("--version").output();
    compiler.map_err(|error| format!("needs a C compiler: {error}"))?;
    Ok(prefix)
}

fn random_file(number: u64) -> Vec<u8> {
    files::file(&mut Random::new(number))
}

fn read_all() {
    for number in 0..files() {
        let file = random_file(number);
        if let Err(error) = parser::parse(&file) {
            let said = error.to_string();
            assert!(said.len() < 512 && !said.contains(char::is_control), "file {number}: {said:?}");
        } else {
            assert!(!file.contains(&0), "file {number} with a NUL byte is read");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(" ".to_owned(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What we make of a file, as the driver shows what libuci makes of it.
fn ours(file: &[u8]) -> String {
    let Ok(package) = parser::parse(file) else { return "refused\n".to_owned() };
    let mut text = String::new();
    for section in &package.sections {
        let (kind, name) = (hex(section.kind.as_bytes()), hex(section.name.as_bytes()));
        let _ = writeln!(text, "section {}{kind}{name}", u8::from(section.anonymous));
        for option in &section.options {
            let name = hex(option.name.as_bytes());
            let _ = match &option.value {
                Value::One(value) => writeln!(text, "option{name}{}", hex(value)),
                Value::Many(values) => {
                    writeln!(text, "list{name}{}", values.iter().map(|value| hex(value)).collect::<String>())
                }
            };
        }
    }
    text
}

/// A directory that goes when it is dropped.
struct Work(PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn driver(prefix: &Path, work: &Path) -> Result<PathBuf, Failed> {
    let program = work.join("driver");
    let library = prefix.join("lib");
    let output = Command::new("cc")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/uci/driver.c"))
        .arg(format!("-I{}", prefix.join("include").display()))
        .arg(format!("-L{}", library.display()))
        .arg(format!("-Wl,-rpath,{0},-rpath-link,{0}", library.display()))
        .args(["-luci", "-o"])
        .arg(&program)
        .output()?;
    if !output.status.success() {
        return Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(program)
}

fn compare_all(prefix: &Path) -> Result<Completion, Failed> {
    let work = Work(std::env::temp_dir().join(format!("l3roamd-uci-{}", std::process::id())));
    std::fs::create_dir_all(&work.0)?;
    let driver = driver(prefix, &work.0)?;
    let files: Vec<(u64, Vec<u8>)> = (0..files())
        .map(|number| (number, files::without_the_difference(&random_file(number))))
        .filter(|(_, file)| !file.contains(&0))
        .collect();
    let mut list = String::new();
    for (number, file) in &files {
        let path = work.0.join(format!("file{number}"));
        std::fs::write(&path, file)?;
        let _ = writeln!(list, "{}", path.display());
    }
    let mut child = Command::new(driver)
        .env("LD_LIBRARY_PATH", prefix.join("lib"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    let writer = std::thread::spawn(move || stdin.write_all(list.as_bytes()));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let theirs: Vec<&str> = text.split_terminator(".\n").collect();
    let (mut read, mut different) = (0, 0);
    for ((number, file), theirs) in files.iter().zip(&theirs) {
        let ours = ours(file);
        read += usize::from(ours != "refused\n");
        if ours != *theirs {
            different += 1;
            if different <= 5 {
                println!(
                    "file {number}: {:?}\nours:\n{ours}libuci:\n{theirs}",
                    String::from_utf8_lossy(file)
                );
            }
        }
    }
    println!(
        "measure: UCI files: {} compared, {read} of them configurations, {different} different",
        theirs.len()
    );
    if theirs.len() != files.len() || !output.status.success() {
        return Err(format!("libuci ended after {} files: {}", theirs.len(), output.status).into());
    }
    if different != 0 || read < files.len() / 4 {
        return Err(format!("{different} of {} files differ, {read} are configurations", files.len()).into());
    }
    Ok(Completion::Completed)
}
