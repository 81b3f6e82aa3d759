//! Bytes to meaning and back: total, pure, never panicking. This is where the intercom protocol is specified.
//!
//! - [`intercom`]: what nodes say to one another. The specification is below.
//! - [`frame`]: what clients say in neighbour discovery, MLD and ARP, and what we ask them.
//! - [`ip`]: the little that must be known of a client's packet; [`icmp`]: the errors about one.
//!
//! Every `parse` accepts any bytes, never panics, and returns at most a small multiple of what it was given. Every
//! `emit` returns a whole packet. `parse(emit(x)) == x` but for the two forms that are not normal: a [`Tail`](intercom::Tail)
//! marked broken (written without it) and the [`Plat`](intercom::Plat) that says nothing (written as none).
//! `tests/vectors.rs` holds all of it against bytes.
//!
//! # The intercom protocol, version 0
//!
//! What every l3roamd in the field speaks. A mesh is upgraded node by node, so that we are compatible to the byte with
//! the C daemon (freifunk-gluon/l3roamd at 25f332a); where its README and its code differ, its code is what nodes speak.
//! What it must never be sent, and what it gets wrong, stands below at the place it concerns.
//!
//! ## Transport
//!
//! UDP, port 5523 at both ends; the source is the node's own address. Unicast goes to a node address or to a
//! *node-client address*: the node-client prefix with the modified EUI-64 of the client's MAC, held by the node that
//! serves the client. Floods go to `ff02::5523` once per mesh interface; whoever receives one forwards it, once, to
//! all its mesh interfaces while the ttl lasts. Our nodes send all but RELAY with traffic class CS6. All integers are big endian.
//!
//! ## Header
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  version = 0  |      ttl      |     type      | capabilities  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             nonce                             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                                                               |
//! +                      sender (IPv6 address)                    +
//! :                                                               :
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! - **version**: 0. (The C daemon's README says 1; its code sends and accepts 0.) Any other is dropped and not
//!   forwarded, since nobody knows where its ttl is.
//! - **ttl**: 1 on unicast, 255 on a new flood. A forwarder counts it down and forwards while it stays above 0
//!   ([`intercom::decrement_ttl`]). A packet with ttl 0 is dropped; the C daemon forwards it as if it were 255.
//! - **type**: 0 SEEK, 1 CLAIM, 2 INFO, 3 ACK, 4 RELAY. Others are dropped.
//! - **capabilities** of the *sender*: bit 0, understands tails; bit 1, accepts RELAY. The C daemon calls this byte
//!   reserved, sends 0 and ignores it, so that a peer without bit 0 is treated as a C daemon. Other bits are sent as 0
//!   and ignored.
//! - **nonce**: random, and a new one for every transmission, repetitions included. The C daemon drops what it has seen
//!   by nonce and type alone. Its own nonce is the same for the life of a process (the random bytes go astray), so that we
//!   identify a flood by everything but the ttl ([`intercom::flood_identity`]) and never suppress unicast.
//! - **sender**: the node that made the packet, to which an answer goes; not the one that forwarded it.
//!
//! ## TLVs
//!
//! What follows the header of types 0 to 3:
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-
//! |     type      |    length     |  value ...
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-
//! ```
//!
//! **length** counts type and length too. Less than 2, or more than the packet has left, makes the packet invalid. An
//! unknown type is skipped. The C daemon does neither: it loops for ever on an unknown type and on length 0, and reads
//! past the end, so that no TLV but these may be sent to what may be one.
//!
//! | packet | TLV | type | length | value |
//! | --- | --- | --- | --- | --- |
//! | SEEK | address | 0 | 20 + tail | 2 bytes 0, the IPv6 address sought |
//! | CLAIM, ACK | MAC | 0 | 8 + tail | the client's MAC |
//! | INFO | PLAT | 0 | 20 + tail | lease in seconds (2 bytes), PLAT prefix (16 bytes); zeros where there is none |
//! | INFO | basic | 1 | 8 + 16 n | the client's MAC, n addresses |
//!
//! IPv4 addresses are mapped into the IPv4 prefix. If a TLV occurs again the last one counts, except for basic TLVs, which
//! add up; those for another MAC than the first are skipped. The one that carries the meaning (address, MAC, basic) must
//! be there. INFO always begins with its PLAT TLV and has at least one basic TLV, each of at most 15 addresses.
//!
//! To what may be a C daemon go at most four addresses: with five it formats the client into 256 bytes and crashes. It
//! takes any PLAT prefix for its own, ours included.
//!
//! ## Meaning
//!
//! - **SEEK** (flooded): who has this address? Whoever hears it asks its own clients.
//! - **CLAIM** (to the node-client address, or flooded): the client is with the sender now, hand it over.
//! - **INFO** (to the CLAIM's sender): the addresses the client was served with. Repeated until ACK.
//! - **ACK** (to the INFO's sender): INFO has come. Every INFO is acknowledged.
//! - **RELAY** (to a node address): a packet of the client, from a node that has handed it over.
//!
//! ## Extensions between our own nodes
//!
//! The C daemon skips a TLV by its length, so that what is appended *inside* the address, MAC or PLAT TLV is carried and
//! ignored by it (but not in a basic TLV, where it would be addresses). There a **tail** may stand:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     0x52      |     0x33      |  version = 1  |     type      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    length     |  value ...       type, length, value ...
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Items are built like TLVs; their length counts type and length too.
//!
//! | item | type | length | value |
//! | --- | --- | --- | --- |
//! | AGE | 1 | 6 | milliseconds since the sender's evidence of the client, computed anew at every transmission |
//! | SEQ | 2 | 6 | the number of the stay |
//! | HOPS | 3 | 3 | how often a claim, or the news that a client has gone on, was passed on |
//! | FLAGS | 4 | 3 | bit 0, from memory: gives addresses but does not settle the claim; bit 1, refused: the client is alive here |
//! | AUTH | 5 | | kept for later |
//!
//! An unknown item is skipped. Another version, an item that does not fit, or a known item of another length makes the
//! tail broken: it is ignored as a whole and counted, and the packet is read as without it. Bytes that do not begin with
//! the magic are no tail. Without anything to say there is no tail, and FLAGS is absent where none is set, so that the
//! packet is the C daemon's to the byte.
//!
//! A **refusal** is an INFO with the flag and without addresses. To a C daemon there is none. Its ACK carries the flag too, so that
//! the one of the INFO before it is not taken for it.
//!
//! That a client **has gone on** is an INFO from memory without addresses, unasked for, from the node that it was handed to: SEQ is the number of its new
//! stay. What is drained for it stands for longer then. It is not acknowledged. To a C daemon there is none.
//!
//! **RELAY** has no TLVs; it is unicast only, never forwarded as a flood, and sent only to a node that announced it:
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     hops      |                   0 (3 bytes)                 |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      SEQ (number of the stay)                 |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  the client's packet from its IP header to the end ...
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-
//! ```

mod codec;
mod extension;
pub mod frame;
pub mod icmp;
pub mod intercom;
pub mod ip;
mod ipv6;
