//! Packet sockets, the intercom, the capture TUN.

use super::Test;

/// The tests of this file.
pub const TESTS: &[Test] = &[];
