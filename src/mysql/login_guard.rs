//! Stands between the driver and a server on TCP connections without TLS, and keeps the password
//! from a server that cannot be trusted with it.
//!
//! # The danger
//!
//! A server that has no cached hash of an account's password may ask for the whole password
//! (`caching_sha2_password`, "full authentication"). Without TLS, the client asks for the server's
//! public RSA key and encrypts the password with it. Whoever answers in the server's place sends a
//! key of its own, and reads the password. The driver answers every such request and has no option
//! against it.
//!
//! # Why this is safe
//!
//! The driver gives the password away only when a packet that begins with `01 04` arrives during a
//! login. A guarded connection leads through this relay, which reads the login packet by packet,
//! and passes on a packet of the server only after looking at it:
//!
//! - `01 04` never reaches the driver, unless the user has named the server's key
//!   (`--server-public-key-path`). Then the key that the server sends must be that key, and the
//!   driver gets the relay's own text of it. So no text can mean one key here and another there.
//! - A packet is passed on alone, whole, and with its own length. The driver cannot see a packet
//!   where the relay saw none, and packets that a login does not need (16 KiB and more) are
//!   refused.
//! - The login is over at the first `00` (the driver has finished it) or `FF` (the connection is
//!   closed). After that the driver logs in once more only when it returns a connection of a very
//!   old server to its pool (`COM_CHANGE_USER`). Such servers are refused.
//!
//! It holds for every connection, not only the first: a server that behaves well once gains
//! nothing. Hashes that prove the knowledge of the password (`mysql_native_password`, and the fast
//! path of `caching_sha2_password`) pass, as they do in the `mysql` client. The driver itself
//! refuses `mysql_clear_password`.
//!
//! After the login, the relay copies bytes. Connections by TLS and through a unix socket, those of
//! accounts without a password, and those for which the user accepts any key
//! (`--get-server-public-key`) do not come here.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::codes;
use super::public_key::PublicKey;

/// The longest packet of a login. The largest that is known, the server's key, has 452 bytes.
const LOGIN_PACKET_LIMIT: usize = 16 * 1024;
/// The number of packets from the server in a login. No plugin needs more than five.
const LOGIN_PACKETS: usize = 10;
/// The size of the blocks in which bytes are copied after the login.
const COPY_BYTES: usize = 128 * 1024;
/// The pause after a connection that could not be accepted, such as for a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const OK: u8 = 0x00;
const ERR: u8 = 0xFF;
/// `caching_sha2_password`: the server wants the whole password.
const FULL_AUTHENTICATION: [u8; 2] = [0x01, 0x04];
/// `caching_sha2_password`: the hash was right, and OK follows.
const FAST_PATH: [u8; 2] = [0x01, 0x03];
/// `caching_sha2_password`: the client wants the server's key.
const ASK_FOR_KEY: [u8; 1] = [0x02];
/// The first byte of the packet with the server's key.
const MORE_DATA: u8 = 0x01;

/// The relay for all connections to one server. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct LoginGuard {
    port: u16,
    accepting: JoinHandle<()>,
}

/// The server, and the key with which a password may be encrypted for it.
#[derive(Debug)]
struct Upstream {
    host: String,
    port: u16,
    key: Option<PublicKey>,
    /// The limit for connecting and logging in.
    limit: Duration,
    keepalive: Duration,
}

impl LoginGuard {
    /// Opens the relay on a loopback address.
    pub(super) async fn start(
        host: &str,
        port: u16,
        key: Option<PublicKey>,
        limit: Duration,
        keepalive: Duration,
    ) -> io::Result<Self> {
        let upstream = Arc::new(Upstream { host: host.to_owned(), port, key, limit, keepalive });
        let listener = TcpListener::bind((Self::HOST, 0)).await?;
        let port = listener.local_addr()?.port();
        // The port stays open as long as the task. If it closed before the last connection is made,
        // another process could take it.
        let accepting = tokio::spawn(async move {
            // Dropping the set closes every connection.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((client, _)) => {
                            let upstream = Arc::clone(&upstream);
                            connections.spawn(async move { upstream.serve(client).await });
                        }
                        Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { port, accepting })
    }

    /// The address on which the relay listens.
    pub(super) const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for LoginGuard {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The end of a login that does not go on.
#[derive(Debug)]
enum Refusal {
    /// One side closed the connection, or the server refused the login in words of its own.
    Closed,
    /// The server cannot be reached.
    Unreachable(io::Error),
    /// The server does not get what it asks for.
    Policy(&'static str),
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl Upstream {
    async fn serve(&self, client: TcpStream) {
        let mut client = Side::new(client);
        match tokio::time::timeout(self.limit, self.log_in(&mut client)).await {
            Ok(Ok(mut server)) => {
                // Either side may end the connection at any time.
                let _ = tokio::io::copy_bidirectional_with_sizes(
                    &mut client.stream,
                    &mut server.stream,
                    COPY_BYTES,
                    COPY_BYTES,
                )
                .await;
            }
            Ok(Err(refusal)) => client.refuse(&refusal, &self.host, self.port).await,
            // The driver has the same limit, and has given up too.
            Err(_) => {}
        }
    }

    async fn log_in(&self, client: &mut Side) -> Result<Side, Refusal> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(Refusal::Unreachable)?;
        stream.set_nodelay(true)?;
        client.stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new().with_time(self.keepalive);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let mut server = Side::new(stream);
        let greeting = server.read().await?;
        if greeting.payload.first() != Some(&ERR) && !resets_connections(&greeting.payload) {
            return Err(Refusal::Policy(
                "the server is older than MySQL 5.7.3 or MariaDB 10.2.4, and would be sent the \
                 password again later",
            ));
        }
        client.pass(&greeting).await?;
        if greeting.payload.first() == Some(&ERR) {
            return Err(Refusal::Closed);
        }
        server.pass(&client.read().await?).await?;
        client.is_greeted = true;
        for _ in 0..LOGIN_PACKETS {
            let packet = server.read().await?;
            match packet.payload.as_slice() {
                [OK, ..] => {
                    client.pass(&packet).await?;
                    return Ok(server);
                }
                [ERR, ..] => {
                    client.pass(&packet).await?;
                    return Err(Refusal::Closed);
                }
                [a, b, ..] if [*a, *b] == FULL_AUTHENTICATION => {
                    let Some(key) = &self.key else {
                        return Err(Refusal::Policy(
                            "the server asks for the password itself, without TLS",
                        ));
                    };
                    client.pass(&packet).await?;
                    exchange_key(client, &mut server, key).await?;
                }
                [a, b, ..] if [*a, *b] == FAST_PATH => client.pass(&packet).await?,
                // Another plugin, or data for it: the client's turn.
                _ => {
                    client.pass(&packet).await?;
                    server.pass(&client.read().await?).await?;
                }
            }
        }
        Err(Refusal::Policy("the server does not come to an end of the login"))
    }
}

/// Lets the client encrypt the password with `key`, if the server has the same.
async fn exchange_key(
    client: &mut Side,
    server: &mut Side,
    key: &PublicKey,
) -> Result<(), Refusal> {
    let question = client.read().await?;
    if question.payload != ASK_FOR_KEY {
        return Err(Refusal::Policy("the client does not ask for the server's key"));
    }
    server.pass(&question).await?;
    let mut answer = server.read().await?;
    let theirs = answer.payload.strip_prefix(&[MORE_DATA]).map(String::from_utf8_lossy);
    if theirs.is_none_or(|pem| PublicKey::from_pem(&pem).as_ref() != Ok(key)) {
        return Err(Refusal::Policy(
            "the server's public key is not the one in --server-public-key-path",
        ));
    }
    answer.payload = [&[MORE_DATA], key.to_pem().as_bytes()].concat();
    client.pass(&answer).await?;
    server.pass(&client.read().await?).await?;
    Ok(())
}

/// Returns true if the driver resets connections to the server that greets like this by
/// `COM_RESET_CONNECTION`, and not by logging in again.
fn resets_connections(greeting: &[u8]) -> bool {
    let text = greeting.get(1..).unwrap_or_default().split(|byte| *byte == 0).next();
    let text = String::from_utf8_lossy(text.unwrap_or_default());
    if let Some((version, rest)) = version(text.strip_prefix("5.5.5-").unwrap_or(&text))
        && rest.starts_with("-MariaDB")
    {
        return version >= (10, 2, 4);
    }
    version(&text).is_some_and(|(version, _)| version > (5, 7, 2))
}

/// Splits a version from the text after it.
fn version(text: &str) -> Option<((u16, u16, u16), &str)> {
    let number = |text: &str, most_digits: usize| {
        (text.len() <= most_digits && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    let (major, rest) = text.split_once('.')?;
    let (minor, rest) = rest.split_once('.')?;
    let (patch, rest) =
        rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    Some(((number(major, 2)?, number(minor, 2)?, number(patch, 3)?), rest))
}

/// A packet of a login, with the number that it came with.
struct Packet {
    sequence: u8,
    payload: Vec<u8>,
}

/// One of the two connections.
struct Side {
    stream: TcpStream,
    /// The number of the next packet to this side.
    sequence: u8,
    /// True once the driver has answered the greeting. Errors have another form before.
    is_greeted: bool,
}

impl Side {
    fn new(stream: TcpStream) -> Self {
        Self { stream, sequence: 0, is_greeted: false }
    }

    async fn read(&mut self) -> Result<Packet, Refusal> {
        let packet = read_packet(&mut self.stream).await?;
        self.sequence = packet.sequence.wrapping_add(1);
        Ok(packet)
    }

    async fn pass(&mut self, packet: &Packet) -> io::Result<()> {
        self.sequence = packet.sequence.wrapping_add(1);
        let [a, b, c, ..] = packet.payload.len().to_le_bytes();
        let bytes = [&[a, b, c, packet.sequence], packet.payload.as_slice()].concat();
        self.stream.write_all(&bytes).await
    }

    /// Tells the driver why there is no connection, in the form of an error of the server.
    async fn refuse(&mut self, refusal: &Refusal, host: &str, port: u16) {
        let (code, message) = match refusal {
            Refusal::Closed => return,
            Refusal::Unreachable(error) => {
                (codes::CLIENT_CANNOT_CONNECT, format!("{host}:{port}: {error}"))
            }
            Refusal::Policy(message) => (codes::CLIENT_REFUSES_LOGIN, (*message).to_owned()),
        };
        let state = if self.is_greeted { "#HY000" } else { "" };
        let payload =
            [&[ERR], code.to_le_bytes().as_slice(), state.as_bytes(), message.as_bytes()].concat();
        // The driver may have given up.
        let _ = self.pass(&Packet { sequence: self.sequence, payload }).await;
    }
}

async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> Result<Packet, Refusal> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let [a, b, c, sequence] = header;
    let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    if length > LOGIN_PACKET_LIMIT {
        return Err(Refusal::Policy("a packet of the login is too long"));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok(Packet { sequence, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_that_reset_connections_without_a_login_are_passed_on() {
        let resets = |version: &str| resets_connections(format!("\n{version}\0rest").as_bytes());
        for version in [
            "9.7.4",
            "5.7.3-log",
            "8.0.36-azure",
            "5.5.5-10.11.19-MariaDB-0+deb12u1",
            "11.8.2-MariaDB-ubu2404",
            "10.2.4-MariaDB",
        ] {
            assert!(resets(version), "{version}");
        }
        for version in [
            "5.7.2",
            "5.5.5-10.2.3-MariaDB",
            "9.0.0-MariaDB",
            // The driver takes these for 5.5.5, or for no version at all.
            "5.5.5-10.11.19-log",
            "100.1.1",
            "8.0",
            "",
        ] {
            assert!(!resets(version), "{version}");
        }
    }
}
