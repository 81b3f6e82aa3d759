//! The radios: modules, access points, the station, a mesh neighbour.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use l3roamd::net::Mac;

use crate::lab::{GATEWAY_MAC, GATEWAY4, Lab, ip_batch};
use crate::measure::eventually;
use crate::signs::{Entry, Sign, Signs};
use crate::sys;

/// The nodes with an access point. Node 1 is between them.
pub const ACCESS_POINTS: [usize; 2] = [0, 2];
/// Where the station lives.
pub const STATION: &str = "sta";
const CHANNELS: [(u8, u16); 2] = [(1, 2412), (6, 2437)];
/// A key instead of a passphrase: hashing one takes seconds in this machine.
const KEY: &str = "6d5a1cf0c2c7a9e4b3b6d1f8e7a05c4920f1b2c3d4e5f60718293a4b5c6d7e8f";

/// What runs in the air; ends with it.
pub struct Air {
    /// What was said of stations.
    pub signs: Signs,
    /// The station.
    pub station: Station,
    _programs: Vec<Program>,
}

/// A program in the background; killed when dropped.
pub struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end.
///
/// # Panics
/// Where it fails.
pub fn run(words: &str) {
    let mut split = words.split_whitespace();
    let status = Command::new(split.next().expect("a program")).args(split).status().expect("it starts");
    assert!(status.success(), "{words}: {status}");
}

/// Loads the radios' modules, dependencies first.
pub fn load_radios() {
    let names = std::fs::read_to_string("/modules/radio").expect("a list of modules");
    for name in names.lines() {
        // Two access points, the station, and two ends of an 802.11s link.
        let radios = if name == "mac80211_hwsim" { "radios=5" } else { "" };
        run(&format!("busybox insmod /modules/{name}.ko {radios}"));
    }
}

/// Starts a program in a namespace, its words and errors in a log of its own.
pub fn spawn(lab: &Lab, namespace: &str, name: &str, words: &str) -> Program {
    let log = File::create(lab.run.join(format!("{name}.log"))).expect("a log file");
    let child = Command::new("ip")
        .args(["netns", "exec", namespace])
        .args(words.split_whitespace())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("one file, two names"))
        .stderr(log)
        .spawn()
        .expect("ip starts");
    Program(child)
}

fn wait_for(path: &Path) {
    assert!(eventually(Duration::from_secs(10), || path.exists()), "{} never appears", path.display());
}

/// Moves a radio into a namespace, which must exist before: its interface goes with it.
pub fn move_radio(radio: usize, namespace: &str) {
    run(&format!("iw phy phy{radio} set netns name {namespace}"));
}

impl Air {
    /// Loads radios and starts access points and a station that is not associated yet.
    pub fn new(lab: &mut Lab) -> Self {
        lab.add_namespace(STATION);
        load_radios();
        wait_for(Path::new("/sys/class/net/wlan4"));
        let signs = Signs::default();
        let mut programs = Vec::new();
        for (radio, node) in ACCESS_POINTS.into_iter().enumerate() {
            let name = lab.nodes[node].clone();
            move_radio(radio, &name);
            signs.hear_kernel(node, &name);
            let configuration = lab.run.join(format!("hostapd-{name}.conf"));
            let control = format!("/run/hostapd-{name}");
            let text = format!(
                "interface=wlan{radio}\nbridge=br-client\ndriver=nl80211\nctrl_interface={control}\nssid=mesh\n\
                 hw_mode=g\nchannel={}\nwpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_psk={KEY}\n",
                CHANNELS[radio].0
            );
            std::fs::write(&configuration, text).expect("a configuration");
            let words = format!("hostapd {}", configuration.display());
            programs.push(spawn(lab, &name, &format!("hostapd-{name}"), &words));
            let control = PathBuf::from(format!("{control}/wlan{radio}"));
            wait_for(&control);
            signs.hear_hostapd(node, &control);
        }
        move_radio(2, STATION);
        let (station, supplicant) = Station::new(lab, signs.clone());
        programs.push(supplicant);
        Self { signs, station, _programs: programs }
    }
}

/// The one station.
pub struct Station {
    /// Its MAC address.
    pub mac: Mac,
    /// Its addresses, link-local ones not among them.
    pub v6: [Ipv6Addr; 2],
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    control: UnixDatagram,
    signs: Signs,
}

impl Station {
    fn new(lab: &Lab, signs: Signs) -> (Self, Program) {
        let mac = Mac([2, 0, 0, 0, 2, 0]);
        let v6 = [1, 2].map(|number| Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, number, 1));
        let v4 = Ipv4Addr::new(10, 42, 1, 1);
        // Nothing is sent for the sake of being heard: no DAD, no router solicitation.
        let quiet = [
            ("net/ipv6/conf/wlan2/accept_dad", "0"),
            ("net/ipv6/conf/wlan2/dad_transmits", "0"),
            ("net/ipv6/conf/wlan2/router_solicitations", "0"),
        ];
        sys::sysctl(STATION, &quiet);
        let gateway = GATEWAY_MAC.link_local();
        ip_batch(
            STATION,
            &format!(
                "link set wlan2 up\naddr add {}/64 dev wlan2 nodad\naddr add {}/64 dev wlan2 nodad\n\
                 addr add {v4}/16 dev wlan2\nneigh replace {gateway} lladdr {GATEWAY_MAC} dev wlan2\n\
                 neigh replace {GATEWAY4} lladdr {GATEWAY_MAC} dev wlan2\n\
                 route add default via {gateway} dev wlan2\nroute add default via {GATEWAY4}\n",
                v6[0], v6[1]
            ),
        );
        run(&format!("tc -n {STATION} qdisc add dev wlan2 clsact"));
        let configuration = lab.run.join("supplicant.conf");
        let frequencies = format!("{} {}", CHANNELS[0].1, CHANNELS[1].1);
        let text = format!(
            "ctrl_interface=/run/supplicant\nbss_expiration_age=100000\nbss_expiration_scan_count=100000\n\
             network={{\n ssid=\"mesh\"\n psk={KEY}\n key_mgmt=WPA-PSK\n proto=RSN\n pairwise=CCMP\n group=CCMP\n\
             scan_freq={frequencies}\n freq_list={frequencies}\n disabled=1\n}}\n"
        );
        std::fs::write(&configuration, text).expect("a configuration");
        let words = format!("wpa_supplicant -i wlan2 -D nl80211 -c {}", configuration.display());
        let supplicant = spawn(lab, STATION, "supplicant", &words);
        let path = Path::new("/run/supplicant/wlan2");
        wait_for(path);
        let control = UnixDatagram::bind("/run/station").expect("bind");
        control.connect(path).expect("wpa_supplicant listens");
        control.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        (Self { mac, v6, v4, control, signs }, supplicant)
    }

    /// Asks wpa_supplicant for something that must not fail.
    pub fn order(&self, command: &str) {
        self.control.send(command.as_bytes()).expect("wpa_supplicant reads");
        let mut buffer = [0; 4096];
        let length = self.control.recv(&mut buffer).expect("wpa_supplicant answers");
        let answer = String::from_utf8_lossy(&buffer[..length]);
        assert!(answer.starts_with("OK"), "{command}: {answer}");
    }

    /// Associates with whichever access point; when its handshake ended, and where.
    ///
    /// # Panics
    /// Where that takes longer than 20 s.
    pub fn attach(&self) -> Entry {
        let since = sys::now();
        self.order("ENABLE_NETWORK 0");
        self.order("RECONNECT");
        self.connected(since, None).expect("the station associates")
    }

    /// The end of the handshake since `since`; waits for at most 20 s.
    pub fn connected(&self, since: Duration, node: Option<usize>) -> Option<Entry> {
        let is_there = || self.signs.first(since, node, Sign::Connected, self.mac);
        eventually(Duration::from_secs(20), || is_there().is_some());
        is_there()
    }

    /// Leaves, saying so.
    pub fn leave(&self) {
        self.order("DISCONNECT");
    }

    /// Looks which access points there are, so that a roam need not.
    pub fn look_around(&self) {
        self.order(&format!("SCAN TYPE=ONLY freq={},{}", CHANNELS[0].1, CHANNELS[1].1));
        std::thread::sleep(Duration::from_millis(600));
    }

    /// Roams to the access point of a node. Does not wait.
    pub fn roam(&self, node: usize) {
        let radio = ACCESS_POINTS.iter().position(|other| *other == node).expect("an access point") as u8;
        self.order(&format!("ROAM {}", Mac([2, 0, 0, 0, radio, 0])));
    }

    /// From now on the kernel's MLD reports, which it sends whenever it is back on the air, are kept back or not.
    pub fn keep_back_reports(&self, yes: bool) {
        let device = "dev wlan2 egress";
        if yes {
            let what = "protocol ipv6 u32 match u8 0 0xff at 6 action drop";
            run(&format!("tc -n {STATION} filter add {device} {what}"));
        } else {
            run(&format!("tc -n {STATION} filter del {device}"));
        }
    }
}
