//! Kernel settings below /proc/sys.

use std::fs;
use std::path::Path;

/// Makes a setting have a value; writes only where it differs, for /proc/sys may be read-only and the administrator may have
/// seen to it. Where that fails the daemon goes on: the operator is told.
pub(super) fn ensure(key: &str, value: &str) {
    let path = Path::new("/proc/sys").join(key);
    let current = fs::read_to_string(&path);
    if current.as_ref().is_ok_and(|current| current.trim() == value) {
        return;
    }
    if let Err(error) = current.and_then(|_| fs::write(&path, value)) {
        tracing::warn!(setting = key, value, %error, "kernel setting cannot be made");
    }
}
