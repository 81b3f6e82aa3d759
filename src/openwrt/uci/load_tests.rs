//! Which files are read, and where the node address comes from.

use super::*;

/// Two directories of configuration files, gone when dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("l3roamd-uci-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("first")).unwrap();
        std::fs::create_dir_all(path.join("second")).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn directories(&self) -> Directories {
        Directories { first: Some(self.0.join("first")), second: self.0.join("second") }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_of_the_first_directory_precedes_that_of_the_second() {
    let place = Place::new("precedes");
    place.write("second/l3roamd", "config l3roamd main\noption metric 2\noption node_address 2001:db8::1\n");
    assert_eq!(place.directories().load().0.metric, 2);
    place.write("first/l3roamd", "config l3roamd main\noption metric 1\noption node_address 2001:db8::1\n");
    assert_eq!(
        place.directories().load(),
        (Settings { metric: 1, ..place.directories().load().0 }, Vec::new())
    );
    assert_eq!(Directories::only(&place.0.join("second")).load().0.metric, 2);
}

#[test]
fn the_node_address_is_that_of_loopback_where_nothing_else_is_said() {
    let place = Place::new("loopback");
    for (options, expected) in [
        ("list ip6addr '::1/128'\nlist ip6addr 'fd00::7/128'\nlist ip6addr 'fd00::8'", Some("fd00::7")),
        ("option ip6addr 'fd00::9'", Some("fd00::9")),
        ("option ip6addr 'x 10.0.0.1/8 fd00::9/64'", Some("fd00::9")),
        ("option ipaddr '127.0.0.1'", None),
    ] {
        place.write("second/network", &format!("config interface loopback\noption device lo\n{options}\n"));
        let found = place.directories().address_of_loopback().ok();
        assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{options}");
    }
    place.write("second/network", "broken");
    let problem = place.directories().address_of_loopback().unwrap_err().to_string();
    assert!(problem.contains("second/network:1: 'broken'"), "{problem}");
}

#[test]
fn a_file_that_is_none_is_told_with_its_name_and_all_has_defaults() {
    let place = Place::new("broken");
    let path = place.0.join("second/l3roamd").display().to_string();
    let missing = place.directories().load().1;
    assert!(missing.len() == 1 && missing[0].to_string().starts_with(&format!("{path}: ")), "{missing:?}");
    place.write("second/l3roamd", "config l3roamd main\noption metric 1\nfoo bar\n");
    let (settings, problems) = place.directories().load();
    assert_eq!(settings, Settings::of_uci());
    let text = problems[0].to_string();
    assert!(text.starts_with(&format!("{path}:3: 'foo' is not")) && !problems[0].is_warning(), "{text}");
    let endless = Directories::only(Path::new("/dev")).file("zero");
    assert!(read(&endless).unwrap_err().to_string().contains("regular file"));
}
