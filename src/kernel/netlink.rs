//! Requests to the kernel's routing tables: one connection of rtnetlink, one request at a time.
//!
//! The connection is polled while a request waits for its answer, so no task runs beside. An error of rtnetlink is never
//! formatted (its Debug code is 180 kB): the error number is taken out instead.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use futures_util::{FutureExt, StreamExt};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_proto::Connection;
use netlink_sys::{AsyncSocket, Socket, SocketAddr, TokioSocket};
use rtnetlink::Handle;

use super::sys::socket;

/// The answers to a dump of all clients of a large node fit in; beyond, the kernel waits for us.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// A dump that the kernel calls inconsistent is asked for again this often.
const DUMP_ATTEMPTS: u32 = 4;

/// The connection for requests.
pub(super) struct Requests {
    connection: Connection<RouteNetlinkMessage, RequestSocket>,
    handle: Handle,
}

impl Requests {
    /// Connects.
    pub(super) fn open() -> io::Result<Self> {
        let (mut connection, handle, _) = rtnetlink::new_connection_with_socket::<RequestSocket>()?;
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        let socket = connection.socket_mut().socket_mut();
        socket::set_receive_buffer(socket.as_raw_fd(), RECEIVE_BUFFER_BYTES)?;
        // Kernels before 4.20 do not know it: they ignore a dump's filter, so whoever dumps filters again.
        let _ = socket.set_netlink_get_strict_chk(true);
        // An error repeats the request's header only.
        let _ = socket.set_cap_ack(true);
        Ok(Self { connection, handle })
    }

    /// Asks for a change.
    pub(super) async fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_ACK | flags, &mut |_| ()).await.map(|_| ())
    }

    /// Asks for one thing.
    pub(super) async fn get(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        let mut answer = None;
        self.exchange(message, 0, &mut |reply| answer = Some(reply)).await?;
        Ok(answer)
    }

    /// Asks for all things of a kind. Where the table changed meanwhile, asks again; what the last attempt gave counts. The request is
    /// made anew each time: what copies any message of rtnetlink is 30 kB of code.
    pub(super) async fn dump(
        &mut self,
        request: &dyn Fn() -> RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut all = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            all.clear();
            let consistent = self.exchange(request(), NLM_F_DUMP, &mut |reply| all.push(reply)).await?;
            if consistent {
                break;
            }
        }
        Ok(all)
    }

    /// Sends one request and takes in its answers; gives whether they are consistent. A connection that broke is replaced, and the
    /// request is reported as failed: the kernel may or may not have carried it out.
    async fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        take: &mut dyn FnMut(RouteNetlinkMessage),
    ) -> io::Result<bool> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        let outcome = match self.handle.request(message) {
            Err(_) => None,
            Ok(mut answers) => {
                let mut answered = None;
                let mut consistent = true;
                let connection = &mut self.connection;
                poll_fn(|context| {
                    let broken = connection.poll_unpin(context).is_ready();
                    while let Poll::Ready(answer) = answers.poll_next_unpin(context) {
                        let Some(NetlinkMessage { header, payload, .. }) = answer else {
                            return Poll::Ready(());
                        };
                        consistent &= header.flags & NLM_F_DUMP_INTR == 0;
                        match payload {
                            NetlinkPayload::InnerMessage(reply) => {
                                answered.get_or_insert(Ok(()));
                                take(reply);
                            }
                            NetlinkPayload::Error(error) => answered = Some(outcome_of(error.raw_code())),
                            NetlinkPayload::Done(done) => answered = Some(outcome_of(done.code)),
                            _ => {}
                        }
                    }
                    if broken { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                answered.map(|outcome| outcome.map(|()| consistent))
            }
        };
        match outcome {
            Some(outcome) => outcome,
            None => {
                *self = Self::open()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }
}

/// A netlink answer's code: 0 or a negative error number.
fn outcome_of(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.saturating_abs())) }
}

/// The socket under the connection. An overrun ends the stream: netlink-proto compares with x86's number of ENOBUFS (mips
/// has another), and the answer that was lost would be waited for for ever.
struct RequestSocket(TokioSocket);

impl AsyncSocket for RequestSocket {
    fn socket_ref(&self) -> &Socket {
        self.0.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.0.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        TokioSocket::new(protocol).map(Self)
    }

    fn poll_send(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_send(context, bytes)
    }

    fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        to: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(context, bytes, to)
    }

    fn poll_recv<B: BufMut>(&self, context: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(self.0.poll_recv(context, buffer)).map_err(end_of_stream))
    }

    fn poll_recv_from<B: BufMut>(
        &self,
        context: &mut Context<'_>,
        buffer: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        Poll::Ready(ready!(self.0.poll_recv_from(context, buffer)).map_err(end_of_stream))
    }

    fn poll_recv_from_full(&self, context: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        Poll::Ready(ready!(self.0.poll_recv_from_full(context)).map_err(end_of_stream))
    }
}

fn end_of_stream(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::ENOBUFS) { io::ErrorKind::ConnectionReset.into() } else { error }
}
