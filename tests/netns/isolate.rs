//! The whole test process lives in namespaces of its own, so that whatever it makes ends with it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sys;

const MARK: &str = "L3ROAMD_LAB_INSIDE";

/// What every one of them has of its own. The processes in it end with the first of them.
const FLAGS: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Where the lab keeps sockets and configurations: a file system of its own, gone with the process.
pub const RUN: &str = "/run/lab";

/// Executes this program again inside new network, mount and process namespaces. Returns there.
///
/// # Errors
/// Says why it is not possible on this machine.
pub fn isolate() -> Result<(), String> {
    isolate_with(&[])
}

/// Whether this is the program inside.
pub fn is_inside() -> bool {
    std::env::var_os(MARK).is_some()
}

/// This program once more, inside further namespaces of the same kind. For the program inside:
/// `isolate` returns there, too.
///
/// # Errors
/// The own path is unknown.
pub fn again() -> std::io::Result<Command> {
    let mut command = Command::new("unshare");
    command.args(FLAGS).arg(std::env::current_exe()?);
    Ok(command)
}

/// The same with further variables for the program inside.
///
/// # Errors
/// As above.
pub fn isolate_with(variables: &[(&str, String)]) -> Result<(), String> {
    if is_inside() {
        return prepare();
    }
    let mut flags = FLAGS.to_vec();
    if !sys::is_root() {
        flags.splice(0..0, ["--user", "--map-root-user"]);
    }
    let probe = Command::new("unshare").args(&flags).arg("true").output();
    match probe {
        Err(error) => return Err(format!("needs unshare of util-linux: {error}")),
        Ok(output) if !output.status.success() => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(format!("needs root or user namespaces ({why})"));
        }
        Ok(_) => {}
    }
    let own = std::env::current_exe().map_err(|error| format!("own path unknown: {error}"))?;
    let mut command = Command::new("unshare");
    command.args(&flags).arg(own).args(std::env::args_os().skip(1)).env(MARK, "1");
    for (name, value) in variables {
        command.env(name, value);
    }
    for (name, path) in programs() {
        if let Some(path) = path {
            command.env(name, path);
        }
    }
    Err(format!("cannot start unshare: {}", command.exec()))
}

/// The programs that environment variables name, by absolute path.
fn programs() -> Vec<(&'static str, Option<PathBuf>)> {
    let named = |name| std::env::var_os(name).map(|path| absolute(Path::new(&path)));
    ["L3ROAMD_BIN", "L3ROAMD_C", "L3ROAMD_BABELD", "L3ROAMD_BIRD"].map(|name| (name, named(name))).into()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Inside: an empty /run, the loop-back interface, and what the lab calls.
fn prepare() -> Result<(), String> {
    let run = |program: &str, arguments: &[&str]| match Command::new(program).args(arguments).output() {
        Err(error) => Err(format!("needs {program}: {error}")),
        Ok(output) if !output.status.success() => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(format!("{program} {}: {why}", arguments.join(" ")))
        }
        Ok(_) => Ok(()),
    };
    run("mount", &["-t", "tmpfs", "lab", "/run"])?;
    run("mkdir", &["-p", "/run/netns", RUN])?;
    run("ip", &["link", "set", "lo", "up"])?;
    if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/net/tun") {
        return Err(format!("needs /dev/net/tun: {error}"));
    }
    // What every test does first, tried once: without it nothing runs here.
    run("ip", &["netns", "add", "trial"])?;
    run("ip", &["-n", "trial", "link", "add", "trial", "type", "veth", "peer", "name", "trial2"])?;
    run("ip", &["-n", "trial", "link", "add", "trial3", "type", "bridge"])?;
    run("ip", &["netns", "del", "trial"])
}
