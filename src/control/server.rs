//! The listening socket: many clients, none of which can hold up another or the daemon.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::reply::{self, error};
use super::{Request, request};

/// Connections served at the same time; further ones wait in the kernel's backlog.
pub const MAX_CONNECTIONS: usize = 64;
/// The longest request, line end not counted. The longest sensible one has some 80 bytes.
pub const MAX_LINE: usize = 4096;
/// How long a client may take to send its request, and to read the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the daemon may take to carry a request out before the client is told that it is busy.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(10);
/// When all places are taken this long, the client that has been silent longest gives way. A client that sends its request
/// at once is served in less.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long no connection is accepted after accepting failed (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the control socket cannot be opened. Names its path.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another daemon answers on it.
    #[error("option -s: another instance answers on '{}', expected a free path", .0.display())]
    InUse(PathBuf),
    /// Something else lies there.
    #[error("option -s: '{}' exists and is no socket, expected a free path", .0.display())]
    NoSocket(PathBuf),
    /// Anything else.
    #[error("option -s: {operation} '{}': {source}", path.display())]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The control socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    file: SocketFile,
    listener: UnixListener,
}

impl Server {
    /// Listens on `path`. A socket that a dead daemon left is replaced.
    ///
    /// # Errors
    /// Where another instance answers on `path`, something that is no socket lies there, or the kernel refuses.
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        remove_stale(path).await?;
        let failed =
            |operation| move |source| SocketError::Failed { operation, path: path.to_owned(), source };
        let listener = UnixListener::bind(path).map_err(failed("listen on"))?;
        let metadata = std::fs::symlink_metadata(path).map_err(failed("look at"))?;
        let file = SocketFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() };
        Ok(Self { file, listener })
    }

    /// Serves clients for ever; their commands go to `requests`. Ending (dropping) this future closes all connections and
    /// removes the file.
    pub async fn serve(self, requests: mpsc::Sender<Request>) {
        let mut connections = JoinSet::new();
        let waiting = Arc::new(Waiting::default());
        loop {
            if connections.len() >= MAX_CONNECTIONS {
                tokio::select! {
                    _ = connections.join_next() => {}
                    () = sleep(PATIENCE) => waiting.dismiss_one(),
                }
                continue;
            }
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(answer(stream, requests.clone(), Arc::clone(&waiting)));
                    }
                    Err(problem) => {
                        tracing::debug!(error = %problem, path = %self.file.path.display(), "control socket cannot accept");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }
}

/// The file of the socket, removed at the end where it is still this one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours {
            // Nobody is left to tell.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

async fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |operation| move |source| SocketError::Failed { operation, path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(problem) => return Err(failed("look at")(problem)),
        // Connecting to a file that is no socket is refused too: it must not be taken for a stale socket and removed.
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NoSocket(path.to_owned())),
        Ok(_) => {}
    }
    match timeout(CLIENT_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(problem)) if problem.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed("remove the stale socket"))
        }
        Ok(Err(problem)) if problem.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full backlog (WouldBlock) is somebody who listens.
        Ok(Err(problem)) if problem.kind() != io::ErrorKind::WouldBlock => Err(failed("connect to")(problem)),
        _ => Err(SocketError::InUse(path.to_owned())),
    }
}

/// The connections that have not sent their request yet.
#[derive(Default)]
struct Waiting {
    count: AtomicUsize,
    dismissed: Notify,
}

impl Waiting {
    /// Ends the connection that has been silent longest.
    fn dismiss_one(&self) {
        // Without anybody waiting the notification would be kept and end the next connection.
        if self.count.load(Ordering::Relaxed) > 0 {
            self.dismissed.notify_one();
        }
    }
}

async fn answer(mut stream: UnixStream, requests: mpsc::Sender<Request>, waiting: Arc<Waiting>) {
    waiting.count.fetch_add(1, Ordering::Relaxed);
    let line = tokio::select! {
        biased;
        line = timeout(CLIENT_TIMEOUT, read_line(&mut stream)) => line.unwrap_or(Err(Bad::Slow)),
        () = waiting.dismissed.notified() => Err(Bad::Crowded),
    };
    waiting.count.fetch_sub(1, Ordering::Relaxed);
    let text = match line {
        Ok(line) => carry_out(&line, &requests).await,
        Err(Bad::Gone) => return,
        Err(Bad::TooLong) => error(&format_args!("request is longer than {MAX_LINE} bytes")),
        Err(Bad::Slow) => error(&"no complete request within 5 seconds"),
        Err(Bad::Crowded) => error(&"too many connections"),
    };
    // A client that does not read its answer has no right to it.
    let _ = timeout(CLIENT_TIMEOUT, write_reply(&mut stream, text.as_bytes())).await;
}

/// Why there is no line.
#[derive(Debug)]
enum Bad {
    Gone,
    TooLong,
    Slow,
    Crowded,
}

/// Reads up to a line end or the end of what the client sends.
async fn read_line(stream: &mut UnixStream) -> Result<Vec<u8>, Bad> {
    let mut line = Vec::new();
    // On the heap through the task, one for each connection: small, requests are short.
    let mut chunk = [0; 512];
    loop {
        let count = match stream.read(&mut chunk).await {
            Ok(0) if line.is_empty() => return Err(Bad::Gone),
            Ok(0) => return Ok(line),
            Ok(count) => count,
            Err(_) => return Err(Bad::Gone),
        };
        let new = chunk.get(..count).unwrap_or_default();
        let end = new.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        line.extend_from_slice(new.get(..end.unwrap_or(count)).unwrap_or_default());
        if line.len() > MAX_LINE {
            return Err(Bad::TooLong);
        }
        if end.is_some() {
            return Ok(line);
        }
    }
}

async fn carry_out(line: &[u8], requests: &mpsc::Sender<Request>) -> String {
    let line = match request::parse(line) {
        Ok(line) => line,
        Err(answer) => return answer,
    };
    let answered = async {
        let (reply, answer) = oneshot::channel();
        requests.send(Request { command: line.command.clone(), reply }).await.ok()?;
        answer.await.ok()
    };
    match timeout(DAEMON_TIMEOUT, answered).await {
        Ok(Some(reply)) => reply::write(line.style, &line.command, &line.arguments, &reply),
        Ok(None) => error(&"the daemon is ending"),
        Err(_) => error(&"the daemon is busy"),
    }
}

async fn write_reply(stream: &mut UnixStream, text: &[u8]) -> io::Result<()> {
    stream.write_all(text).await?;
    stream.shutdown().await?;
    // Closing with unread bytes resets the connection, and some clients then throw the answer away: take what is there.
    let mut rest = [0; 512];
    for _ in 0..MAX_LINE {
        match stream.try_read(&mut rest) {
            Ok(count) if count > 0 => {}
            _ => break,
        }
    }
    Ok(())
}
