//! The shim to libubus and its declarations, as far as a compiler can prove them.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};

/// Compilers for machines that are 32-bit and big-endian, as many routers are.
const COMPILERS: [&str; 2] = ["powerpc-linux-gnu-gcc", "mips-linux-gnu-gcc"];

/// All tests of it.
pub fn trials(prefix: Option<&Path>) -> Vec<Trial> {
    let compiler =
        COMPILERS.into_iter().find(|compiler| Command::new(compiler).arg("--version").output().is_ok());
    let real = prefix.map(|prefix| prefix.join("include"));
    let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ubus/fake/include");
    let mut trials = Vec::new();
    for (name, include) in [("libubus", real), ("the stand-in", Some(fake))] {
        let title = format!("the shim of libubus compiles for 32 bits and big-endian, headers of {name}");
        let missing = match (compiler, &include) {
            (None, _) => Some("needs gcc-powerpc-linux-gnu or gcc-mips-linux-gnu"),
            (_, None) => Some("L3ROAMD_UBUS_PREFIX is not set"),
            _ => None,
        };
        trials.push(match (compiler, include, missing) {
            (Some(compiler), Some(include), None) => Trial::test(title, move || compile(compiler, &include)),
            (.., missing) => Trial::test(format!("{title} ({})", missing.unwrap_or_default()), || Ok(()))
                .with_ignored_flag(true),
        });
    }
    trials.push(declarations());
    trials
}

fn compile(compiler: &str, include: &Path) -> Result<(), Failed> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openwrt/ubus/libubus/shim.c");
    let output = Command::new(compiler)
        .args(["-c", "-O2", "-Wall", "-Wextra", "-Werror", "-o", "/dev/null", "-I"])
        .args([include.to_owned(), source] as [PathBuf; 2])
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

#[cfg(feature = "bindgen")]
fn declarations() -> Trial {
    Trial::test("the declarations of the shim of libubus are those that bindgen makes", || {
        let made = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
        let kept = include_str!("../../src/openwrt/ubus/libubus/sys/bindings.rs");
        // How they are laid out depends on rustfmt.
        let words = |text: &str| {
            text.chars().filter(|sign| !sign.is_whitespace() && *sign != ',').collect::<String>()
        };
        if words(made) == words(kept) { Ok(()) } else { Err("copy the file that was made".into()) }
    })
}

#[cfg(not(feature = "bindgen"))]
fn declarations() -> Trial {
    let title =
        "the declarations of the shim of libubus are those that bindgen makes (needs the feature bindgen)";
    Trial::test(title, || Ok(())).with_ignored_flag(true)
}
