//! Packet sockets, the intercom, the capture TUN.

use std::process::{Child, Command, Stdio};

use l3roamd::engine::Action;
use l3roamd::engine::input::{FailureReason, Input, IntercomReceived};
use l3roamd::engine::output::IntercomDestination;
use l3roamd::kernel::{Event, Kernel, KernelError};
use l3roamd::net::IfIndex;
use l3roamd::wire::frame::FrameContent;
use l3roamd::wire::intercom::{self, Body, Capabilities, Packet, Tail};

use super::support::*;
use super::{CHILD, Test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("a_second_daemon_is_refused", second_daemon),
    ("clients_are_heard_and_asked_through_a_snooping_bridge", snooping_bridge),
    ("listening_survives_an_interface_that_goes_and_returns", listening_again),
    ("sources_that_are_switched_off_are_silent", sources_off),
    ("the_intercom_knows_where_a_datagram_came_from", intercom_between_nodes),
    ("an_intercom_datagram_that_cannot_be_sent_fails_alone", intercom_failures),
    ("all_that_waits_is_read_in_one_round_however_much_it_is", one_round),
    ("a_packet_that_waited_reaches_its_client", waiting_packet),
    ("the_sender_of_an_undeliverable_packet_is_told", unreachable),
    ("a_tun_that_was_removed_is_made_anew", removed_tun),
];

/// What other processes of a test do.
pub const ROLES: &[Test] = &[("role_answer_on_the_intercom", answer_on_the_intercom)];

async fn ok(kernel: &mut Kernel, action: Action) {
    let answer = kernel.apply(action).await;
    let acknowledged = matches!(answer, None | Some(Input::RouteInstalled(_) | Input::NeighbourInstalled(_)));
    assert!(acknowledged, "{answer:?}");
}

async fn heard(kernel: &mut Kernel, wanted: FrameContent) -> IfIndex {
    wait_for_input(kernel, |input| match input {
        Input::FrameHeard(heard) => {
            assert_eq!(heard.source, CLIENT, "{heard:?}");
            (heard.content == wanted).then_some(heard.interface)
        }
        _ => None,
    })
    .await
}

fn one_round() {
    run(async {
        const COUNT: usize = 200;
        let mut kernel = open().await;
        let socket = std::net::UdpSocket::bind("[::1]:0").expect("a socket");
        for _ in 0..COUNT {
            socket.send_to(b"hello", ("::1", intercom::PORT)).expect("loopback");
        }
        // As the loop does: the first one is waited for, the others are there.
        let is_datagram = |event: &Event| matches!(event, Event::Input(Input::IntercomReceived(_)));
        while !is_datagram(&kernel.next().await) {}
        let more = std::iter::from_fn(|| kernel.try_next()).filter(is_datagram).count();
        assert_eq!(more, COUNT - 1);
    });
}

fn second_daemon() {
    run(async {
        let kernel = open().await;
        let error = open_with(settings()).await.err().expect("a refusal");
        assert!(matches!(error, KernelError::AnotherInstance(5523)), "{error}");
        assert!(error.to_string().contains("another l3roamd"), "{error}");
        kernel.shut_down().await;
        assert!(!sh("ip link").contains("l3roam0"));
        open().await;
    });
}

/// A bridge `br0` with snooping and querier, whose port `port0` leads to `eth0` in the client's namespace, still down.
fn bridge_with_client(client: &Namespace) -> (IfIndex, IfIndex) {
    sh("ip link add br0 type bridge mcast_snooping 1 mcast_querier 1; ip link set br0 up");
    sh("ip link add port0 type veth peer name eth0; ip link set port0 master br0 up");
    sh(&format!("ip link set eth0 address {CLIENT} netns {}", client.pid()));
    (index_of("br0"), index_of("port0"))
}

fn snooping_bridge() {
    run(async {
        let client = Namespace::new();
        let mut kernel = open().await;
        let (bridge, port) = bridge_with_client(&client);
        sh("ip addr add 10.1.0.1/16 dev br0");
        kernel.dump().await.expect("a dump");
        for _ in 0..2 {
            ok(&mut kernel, Action::Listen(port)).await;
        }
        // Duplicate address detection.
        client
            .sh("ip link set eth0 up; ip addr add 2001:db8::5/64 dev eth0; ip addr add 10.1.0.5/16 dev eth0");
        let v6 = ip("2001:db8::5");
        assert_eq!(heard(&mut kernel, FrameContent::WantsToUse(v6)).await, port);
        client.sh("for turn in $(seq 600); do ip -6 addr show dev eth0 tentative | grep -q . || break; sleep 0.1; done");
        while kernel.try_next().is_some() {}
        // Asked by unicast frames, from whatever the bridge has learned.
        for address in [v6, ip("10.1.0.5")] {
            for asked in [Some(CLIENT), None] {
                ok(&mut kernel, Action::Probe { interface: bridge, address, client: asked }).await;
                assert_eq!(heard(&mut kernel, FrameContent::Uses(address)).await, port);
            }
        }
        ok(&mut kernel, Action::QueryClient { interface: bridge, client: CLIENT }).await;
        let mut groups = None;
        let mut answered = false;
        while groups.is_none() || !answered {
            let content = wait_for_input(&mut kernel, |input| match input {
                Input::FrameHeard(heard) => Some(heard.content.clone()),
                _ => None,
            })
            .await;
            match content {
                FrameContent::ListensTo(heard) => groups = Some(heard),
                FrameContent::Uses(address) => {
                    answered |= address == std::net::IpAddr::V6(CLIENT.link_local())
                }
                FrameContent::WantsToUse(_) | FrameContent::AskedBy(_) => {}
            }
        }
        assert!(groups.is_some_and(|groups| groups.contains(&[0, 0, 5])));
        // Nothing of no interest passed the filter.
        assert_eq!(kernel.counters().frames_not_parsed, 0);
    });
}

fn listening_again() {
    run(async {
        let client = Namespace::new();
        let mut kernel = open().await;
        let (_, port) = bridge_with_client(&client);
        ok(&mut kernel, Action::Listen(port)).await;
        client.sh("ip link set eth0 up; ip addr add 2001:db8::5/64 dev eth0");
        heard(&mut kernel, FrameContent::WantsToUse(ip("2001:db8::5"))).await;
        // Down and up again: the same socket goes on.
        sh("ip link set port0 down; ip link set port0 up");
        client.sh("ip addr add 2001:db8::6/64 dev eth0");
        heard(&mut kernel, FrameContent::WantsToUse(ip("2001:db8::6"))).await;
        sh("ip link del port0");
        wait_for_input(&mut kernel, |input| (*input == Input::LinkGone(port)).then_some(())).await;
        // Nothing turns in circles: sooner or later the kernel has nothing more to say.
        let mut said = 0;
        while tokio::time::timeout(std::time::Duration::from_millis(300), kernel.next()).await.is_ok() {
            said += 1;
            assert!(said < 1000);
        }
        match kernel.apply(Action::Listen(port)).await {
            Some(Input::ActionFailed { reason: FailureReason::Refused, .. }) => {}
            other => panic!("{other:?}"),
        }
        ok(&mut kernel, Action::StopListening(port)).await;
        sh("ip link add port0 type veth peer name eth0; ip link set port0 master br0 up");
        sh(&format!("ip link set eth0 address {CLIENT} netns {}", client.pid()));
        let port = index_of("port0");
        ok(&mut kernel, Action::Listen(port)).await;
        client.sh("ip link set eth0 up; ip addr add 2001:db8::7/64 dev eth0");
        assert_eq!(heard(&mut kernel, FrameContent::WantsToUse(ip("2001:db8::7"))).await, port);
    });
}

fn sources_off() {
    run(async {
        let client = Namespace::new();
        let mut settings = settings();
        settings.sources.ndp = false;
        settings.sources.netlink = false;
        let mut kernel = open_with(settings).await.expect("a kernel side");
        let (bridge, port) = bridge_with_client(&client);
        ok(&mut kernel, Action::Listen(port)).await;
        client.sh("ip link set eth0 up; ip addr add 2001:db8::5/64 dev eth0");
        ok(&mut kernel, Action::InstallNeighbour(neighbour("2001:db8::5", bridge))).await;
        // Our own entries are told all the same.
        let mut found = kernel.dump().await.expect("a dump");
        let until = std::time::Duration::from_secs(2);
        let _ = tokio::time::timeout(until, async {
            loop {
                if let Event::Input(input) = kernel.next().await {
                    found.push(input);
                }
            }
        })
        .await;
        for input in found {
            match input {
                Input::FrameHeard(_) | Input::FdbSeen(_) | Input::FdbGone(_) => panic!("{input:?}"),
                Input::NeighbourSeen(fact) => assert!(fact.ours),
                _ => {}
            }
        }
    });
}

fn claim(nonce: u32) -> Packet {
    Packet {
        ttl: intercom::TTL_FLOOD,
        capabilities: Capabilities::default(),
        nonce,
        sender: settings().node_address,
        body: Body::Claim { client: CLIENT, tail: Tail::default() },
    }
}

async fn received(kernel: &mut Kernel) -> IntercomReceived {
    wait_for_input(kernel, |input| match input {
        Input::IntercomReceived(received) => Some(received.clone()),
        _ => None,
    })
    .await
}

/// Another daemon at the other end of `mesh0`.
struct Peer(Child);

impl Peer {
    fn start(namespace: &Namespace) -> Self {
        let program = std::env::current_exe().expect("our own path");
        let child = Command::new("nsenter")
            .args(["-n", "-t", &namespace.pid().to_string(), "--"])
            .arg(program)
            .env(CHILD, ROLES[0].0)
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter");
        let mut peer = Self(child);
        let mut ready = [0];
        let stdout = peer.0.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(stdout, &mut ready).expect("the peer is ready");
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Joins the mesh on `mesh0`; sends every datagram back to its sender, and those that came by multicast also to everybody.
fn answer_on_the_intercom() {
    run(async {
        let mut settings = settings();
        settings.node_address = "2001:db8:ffff::2".parse().expect("an address");
        let mut kernel = open_with(settings).await.expect("a kernel side");
        let mesh = index_of("mesh0");
        ok(&mut kernel, Action::JoinMesh(mesh)).await;
        std::io::Write::write_all(&mut std::io::stdout(), b"\n").expect("a pipe");
        loop {
            let IntercomReceived { source, destination, datagram, .. } = received(&mut kernel).await;
            if destination.is_multicast() {
                let destination = IntercomDestination::Mesh(mesh);
                ok(&mut kernel, Action::SendIntercom { destination, datagram: datagram.clone() }).await;
            }
            let destination = IntercomDestination::Unicast(source);
            ok(&mut kernel, Action::SendIntercom { destination, datagram }).await;
        }
    });
}

fn intercom_between_nodes() {
    run(async {
        let other = Namespace::new();
        sh("ip link add mesh0 type veth peer name end0; ip link set mesh0 up");
        sh(&format!("ip link set end0 name mesh0 netns {}", other.pid()));
        sh("ip addr add 2001:db8:ffff::1/64 dev mesh0 nodad");
        other.sh("ip link set mesh0 up; ip addr add 2001:db8:ffff::2/64 dev mesh0 nodad");
        let mesh = index_of("mesh0");
        let mut kernel = open().await;
        for _ in 0..2 {
            ok(&mut kernel, Action::JoinMesh(mesh)).await;
        }
        let _peer = Peer::start(&other);
        let datagram = intercom::emit(&claim(1));
        let destination = IntercomDestination::Mesh(mesh);
        ok(&mut kernel, Action::SendIntercom { destination, datagram: datagram.clone() }).await;
        let peer = "2001:db8:ffff::2".parse().expect("an address");
        for expected in [intercom::GROUP, settings().node_address] {
            let IntercomReceived { interface, source, port, destination, packet, datagram: bytes } =
                received(&mut kernel).await;
            assert_eq!((interface, source, destination), (mesh, peer, expected));
            assert_eq!(port, intercom::PORT);
            // Kept where it may have to be passed on.
            let kept = if destination == intercom::GROUP { &datagram[..] } else { &[] };
            assert_eq!((packet, &bytes[..]), (Ok(claim(1)), kept));
        }
        // To an address, larger than the link's MTU, and not an intercom packet.
        let destination = IntercomDestination::Unicast(peer);
        let large = vec![0xff; 9000];
        ok(&mut kernel, Action::SendIntercom { destination, datagram: large.clone() }).await;
        let back = received(&mut kernel).await;
        assert_eq!(back.destination, settings().node_address);
        assert!(back.packet.is_err());
        // Who has left hears no multicast, and may leave again.
        for _ in 0..2 {
            ok(&mut kernel, Action::LeaveMesh(mesh)).await;
        }
        let destination = IntercomDestination::Mesh(mesh);
        ok(&mut kernel, Action::SendIntercom { destination, datagram }).await;
        assert_eq!(received(&mut kernel).await.destination, settings().node_address);
        sh("ip link del mesh0");
        ok(&mut kernel, Action::LeaveMesh(mesh)).await;
        assert_eq!(kernel.counters().intercom_unreadable, 0);
    });
}

fn intercom_failures() {
    run(async {
        let mesh = dummy("mesh0");
        let mut kernel = open().await;
        // The node address does not exist yet.
        for destination in [
            IntercomDestination::Mesh(mesh),
            IntercomDestination::Unicast("2001:db8:ffff::2".parse().expect("an address")),
        ] {
            let action = Action::SendIntercom { destination, datagram: vec![0; 24] };
            let failed =
                Input::ActionFailed { action: Box::new(action.clone()), reason: FailureReason::Refused };
            assert_eq!(kernel.apply(action).await, Some(failed));
        }
        sh("ip addr add 2001:db8:ffff::1/64 dev mesh0 nodad");
        let destination = IntercomDestination::Mesh(mesh);
        ok(&mut kernel, Action::SendIntercom { destination, datagram: vec![0; 24] }).await;
        assert!(matches!(
            kernel.apply(Action::JoinMesh(IfIndex(4711))).await,
            Some(Input::ActionFailed { .. })
        ));
    });
}

/// The packet that a command sends to `address` and that comes out of the capture TUN.
async fn captured(kernel: &mut Kernel, address: &str) -> Vec<u8> {
    wait_for_input(kernel, |input| match input {
        Input::PacketForUnknown(packet) => {
            let header = l3roamd::wire::ip::parse(packet)?;
            (header.destination == ip(address)).then(|| packet.clone())
        }
        _ => None,
    })
    .await
}

/// Sends echo requests.
fn ping(address: &str, count: u32) -> Child {
    Command::new("ping")
        .args(["-n", "-c", &count.to_string(), "-i", "0.3", "-W", "60", address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ping")
}

async fn finished(child: Child) -> (bool, String) {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("a thread");
    let output = output.expect("its output");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

async fn open_with_prefixes() -> Kernel {
    sh("ip addr add 192.0.2.1/32 dev lo; ip -6 addr add 2001:db8:ffff::1/128 dev lo nodad");
    let mut kernel = open().await;
    for prefix in ["10.0.0.0/8", "2001:db8::/64"] {
        ok(&mut kernel, Action::InstallPrefixRoute(prefix.parse().expect("a prefix"))).await;
    }
    kernel
}

fn waiting_packet() {
    run(async {
        let client = Namespace::new();
        let mut kernel = open_with_prefixes().await;
        sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        sh("ip link add client0 type veth peer name eth0; ip link set client0 up");
        sh(&format!("ip link set eth0 address {CLIENT} netns {}", client.pid()));
        client.sh("ip link set eth0 up; ip addr add 10.0.0.7/32 dev eth0; ip addr add 2001:db8::7/128 dev eth0 nodad");
        sh("ip addr add fe80::1/64 dev client0 nodad; ip addr add 169.254.0.1/32 dev client0");
        client.sh("ip route add 169.254.0.1 dev eth0; ip route add default via 169.254.0.1 dev eth0");
        client.sh("ip -6 route add default via fe80::1 dev eth0");
        let interface = index_of("client0");
        for address in ["10.0.0.7", "2001:db8::7"] {
            let ping = ping(address, 1);
            let packet = captured(&mut kernel, address).await;
            ok(&mut kernel, Action::InstallRoute(host(address, interface, 254))).await;
            ok(&mut kernel, Action::InstallNeighbour(neighbour(address, interface))).await;
            ok(&mut kernel, Action::ReleasePacket(packet)).await;
            let (success, said) = finished(ping).await;
            assert!(success, "{said}");
        }
    });
}

fn unreachable() {
    run(async {
        let mut kernel = open_with_prefixes().await;
        for (address, expected) in [("10.0.0.7", "Host Unreachable"), ("2001:db8::7", "Address unreachable")]
        {
            let mut ping = std::pin::pin!(finished(ping(address, 3)));
            let said = loop {
                tokio::select! {
                    (_, said) = &mut ping => break said,
                    packet = captured(&mut kernel, address) => {
                        let to = l3roamd::wire::ip::parse(&packet).expect("a header").source;
                        ok(&mut kernel, Action::SendUnreachable { to, packet }).await;
                    }
                }
            };
            assert!(said.contains(expected), "{said}");
        }
    });
}

fn removed_tun() {
    run(async {
        let mut kernel = open_with_prefixes().await;
        let before = kernel.tun();
        assert_eq!(
            sh(
                "cat /proc/sys/net/ipv6/conf/l3roam0/addr_gen_mode /proc/sys/net/ipv4/conf/l3roam0/accept_local"
            ),
            "1\n1\n"
        );
        assert!(sh("ip link show l3roam0").contains("mtu 9000"));
        sh("ip link del l3roam0");
        wait_for(&mut kernel, |event| matches!(event, Event::StateLost(_)).then_some(())).await;
        kernel.dump().await.expect("a dump");
        assert_ne!(kernel.tun(), before);
        ok(&mut kernel, Action::InstallPrefixRoute("10.0.0.0/8".parse().expect("a prefix"))).await;
        let ping = ping("10.0.0.7", 1);
        captured(&mut kernel, "10.0.0.7").await;
        drop(ping);
    });
}
