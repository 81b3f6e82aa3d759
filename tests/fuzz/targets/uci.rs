//! Any configuration file: read or refused, without panic, and settings that come of it are in their ranges.
#![no_main]

use std::path::Path;

use l3roamd::openwrt::uci::table::ROWS;
use l3roamd::openwrt::uci::{NoNetworks, Settings, parser};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let package = match parser::parse(text) {
        Ok(package) => package,
        Err(error) => return assert!(error.to_string().len() < 1024),
    };
    let mut settings = Settings::of_uci();
    for problem in settings.take(&package, Path::new("l3roamd")) {
        assert!(!problem.to_string().contains('\n'));
    }
    // What is shown is what would be read again.
    for row in ROWS {
        let shown = row.field.show(&settings);
        let mut again = settings.clone();
        if row.field.is_list() {
            assert_eq!(row.field.take(&mut again, &shown), []);
        } else if let [text] = shown.as_slice() {
            assert_eq!(row.field.take(&mut again, std::slice::from_ref(text)), []);
        }
        assert_eq!(row.field.show(&again), shown);
    }
    let _ = settings.devices(&NoNetworks);
});
