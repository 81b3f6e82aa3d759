//! Kernel settings below /proc/sys.

use std::fs;
use std::path::{Path, PathBuf};

/// The value of a setting, where there is one.
pub(super) fn read(key: &str) -> Option<String> {
    Some(fs::read_to_string(path(key)).ok()?.trim().to_owned())
}

/// Makes a setting have a value; writes only where it differs, for /proc/sys may be read-only and the administrator may have
/// seen to it. Where that fails the daemon goes on: the operator is told.
pub(super) fn ensure(key: &str, value: &str) {
    let path = path(key);
    let current = fs::read_to_string(&path);
    if current.as_ref().is_ok_and(|current| current.trim() == value) {
        return;
    }
    if let Err(error) = current.and_then(|_| fs::write(&path, value)) {
        tracing::warn!(setting = key, value, %error, "kernel setting cannot be made");
    }
}

fn path(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key)
}
