//! Any line of the control socket: read without panic, under a name of the table, and an error does not repeat it all.
#![no_main]

use l3roamd::engine::command::{COMMANDS, Command};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let line = String::from_utf8_lossy(line);
    let name = line.split_ascii_whitespace().next();
    match line.parse::<Command>() {
        Ok(command) => {
            let spec = command.spec();
            assert!(name == Some(spec.name) || name == spec.c_name);
            assert!(COMMANDS.iter().any(|row| row.name == spec.name));
        }
        Err(error) => assert!(error.to_string().len() < 1024),
    }
});
