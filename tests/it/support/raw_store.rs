//! A store whose answers are bytes, such as no HTTP server would send them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The limit on the head of a request.
const HEAD_BYTES: usize = 64 * 1024;

/// The bytes of an answer, and what follows them.
#[derive(Clone)]
pub struct Answer {
    pub bytes: Vec<u8>,
    pub then: Then,
}

/// The rest of an answer. All but `Close` go on until the client leaves.
#[derive(Clone, Debug)]
pub enum Then {
    Close,
    /// No byte more.
    Stall,
    /// One byte after each interval.
    Drip(Duration),
    /// These bytes again and again.
    Repeat(Vec<u8>),
}

/// A store that answers each request on a connection of its own. It stops when it is dropped.
pub struct RawStore {
    url: String,
    accepting: JoinHandle<()>,
}

impl RawStore {
    /// Starts a store that calls `answer` with the head of each request.
    pub async fn start<F>(answer: impl Fn(String) -> F + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let answer = Arc::new(answer);
        let accepting = tokio::spawn(async move {
            // Dropped with this task, which closes every connection.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((socket, _)) = accepted else { continue };
                        let answer = Arc::clone(&answer);
                        connections.spawn(async move {
                            // An error means that the client has left.
                            let _ = serve(socket, |head| answer(head)).await;
                        });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { url, accepting })
    }

    /// Returns the URL for `--endpoint-url`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for RawStore {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve<F: Future<Output = Answer>>(
    mut socket: TcpStream,
    answer: impl Fn(String) -> F,
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES {
        if socket.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let Answer { bytes, then } = answer(String::from_utf8_lossy(&head).into_owned()).await;
    socket.write_all(&bytes).await?;
    match then {
        Then::Close => socket.shutdown().await,
        // A byte can be read only if the client does not leave, and it sends none.
        Then::Stall => socket.read_u8().await.map(drop),
        Then::Drip(interval) => loop {
            tokio::time::sleep(interval).await;
            socket.write_all(b" ").await?;
        },
        Then::Repeat(block) => loop {
            socket.write_all(&block).await?;
        },
    }
}

/// The way in which an answer tells the end of its body.
#[derive(Clone, Copy, Debug)]
pub enum Framing {
    /// The connection ends.
    Close,
    /// A `Content-Length` gives the bytes that are sent.
    Length,
    /// A last chunk follows.
    Chunked,
    /// A `Content-Length` gives more bytes than are sent.
    LongerLength,
}

impl Framing {
    pub const ALL: [Self; 4] = [Self::Close, Self::Length, Self::Chunked, Self::LongerLength];
}

/// Returns an answer with status 200 and this body.
pub fn answer_200(body: &[u8], framing: Framing) -> Answer {
    let length = match framing {
        Framing::Close => String::new(),
        Framing::Length => format!("Content-Length: {}\r\n", body.len()),
        Framing::LongerLength => format!("Content-Length: {}\r\n", body.len() + 1),
        Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    let mut bytes = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\n").into_bytes();
    if matches!(framing, Framing::Chunked) {
        if !body.is_empty() {
            bytes.extend(format!("{:x}\r\n", body.len()).into_bytes());
            bytes.extend(body);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
    } else {
        bytes.extend(body);
    }
    Answer { bytes, then: Then::Close }
}

/// Sends the head of a request to another store and returns all bytes of its answer.
pub async fn forward(to: SocketAddr, head: &str) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(to).await?;
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    socket.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer)
}
