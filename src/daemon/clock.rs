//! The only place that reads a clock. Everybody else is told the time.

use std::cell::Cell;
use std::io;

use super::sys;
use crate::time::Timestamp;

/// The daemon's clock: CLOCK_BOOTTIME, so that a sleeping machine's clients age.
#[derive(Debug)]
pub struct Clock {
    last: Cell<Timestamp>,
}

impl Clock {
    /// The clock of this machine.
    ///
    /// # Errors
    /// Where the kernel does not offer it.
    pub fn new() -> io::Result<Self> {
        Ok(Self { last: Cell::new(read()?) })
    }

    /// The time now, never before an earlier answer.
    pub fn now(&self) -> Timestamp {
        // A clock that was read once can be read again; if not, time stands still rather than the daemon.
        let now = read().unwrap_or(self.last.get()).max(self.last.get());
        self.last.set(now);
        now
    }
}

fn read() -> io::Result<Timestamp> {
    Ok(Timestamp::ZERO + sys::boot_time()?)
}

/// A seed for the engine's random generator, from the kernel's.
///
/// # Errors
/// Where `/dev/urandom` cannot be read.
pub fn seed() -> io::Result<u64> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back_and_seeds_differ() {
        let clock = Clock::new().unwrap();
        let first = clock.now();
        assert!(first > Timestamp::ZERO);
        assert!(clock.now() >= first);
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
