//! A TCP proxy that makes loopback a long or thin path: every byte is late, and the number of bytes
//! a second is limited.
//!
//! Each direction is a line that keeps order and is as long as the one-way delay: however much is
//! on its way, more can be sent. All connections of a [`Link`] share the rate, in each direction
//! separately, and an idle path saves nothing up. Opening a connection takes one more round trip,
//! for the handshake that loopback makes at once. This is not a path that loses packets, or on
//! which TCP starts slowly.
//!
//! When one side ends its stream, the other side learns of it after the last byte. A connection
//! that is reset is closed at once. For each direction of a connection, at most [`BUFFER_BYTES`]
//! and the product of rate and delay are on their way. Everything ends with the [`Link`].

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// The bytes that may be on their way beyond the rate's own. Without a rate, this allows 100 MB/s
/// over 150 ms there and back, and twice that.
const BUFFER_BYTES: u64 = 16 * 1024 * 1024;
/// The bytes that are read at a time: 2.6 ms at 50 Mbit/s, so that connections alternate.
const CHUNK_BYTES: usize = 16 * 1024;
/// The time by which a connection may book the rate ahead: timers are milliseconds late, and the
/// path must not be idle for that.
const BOOKED_AHEAD: Duration = Duration::from_millis(20);

/// The properties of a path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    /// Half of it is in each direction.
    pub round_trip: Duration,
    /// The rate in each direction. `None` is as fast as loopback.
    pub bytes_per_second: Option<u64>,
}

/// A path to a port of this machine. It is open until this is dropped.
pub struct Link {
    address: SocketAddr,
    accepting: tokio::task::JoinHandle<()>,
}

impl Link {
    pub async fn start(server_port: u16, shape: Shape) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (up, down) = (Arc::new(Lane::new(shape)), Arc::new(Lane::new(shape)));
        let accepting = tokio::spawn(async move {
            // Dropping this task drops every connection.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        // An error here means that the other side left before.
                        if let Ok((client, _)) = accepted {
                            let (up, down) = (Arc::clone(&up), Arc::clone(&down));
                            connections.spawn(serve(client, server_port, up, down));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One direction.
struct Lane {
    shape: Shape,
    /// The time at which the last booked byte has left.
    booked_until: Mutex<Instant>,
}

impl Lane {
    fn new(shape: Shape) -> Self {
        Self { shape, booked_until: Mutex::new(Instant::now()) }
    }

    fn one_way(&self) -> Duration {
        self.shape.round_trip / 2
    }

    /// Returns the number of a connection's bytes that may be on their way.
    fn capacity_bytes(&self) -> usize {
        let in_delay = u128::from(self.shape.bytes_per_second.unwrap_or(0))
            * self.one_way().as_micros()
            / 1_000_000;
        usize::try_from(u128::from(BUFFER_BYTES) + in_delay)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .min(u32::MAX as usize)
    }

    /// Returns the time at which bytes that are sent now have left, after all that others sent
    /// before.
    fn leave(&self, length: usize) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.shape.bytes_per_second else { return now };
        let mut booked_until = self.booked_until.lock().unwrap_or_else(PoisonError::into_inner);
        let nanoseconds = length as u128 * 1_000_000_000 / u128::from(rate.max(1));
        *booked_until = now.max(*booked_until)
            + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        *booked_until
    }

    /// Carries one side's bytes to the other, to the end.
    async fn carry(&self, from: OwnedReadHalf, to: OwnedWriteHalf) -> io::Result<()> {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::try_join!(self.take_in(from, sender), give_out(receiver, to))?;
        Ok(())
    }

    async fn take_in(
        &self,
        mut from: OwnedReadHalf,
        line: mpsc::UnboundedSender<Late>,
    ) -> io::Result<()> {
        let capacity = Arc::new(Semaphore::new(self.capacity_bytes()));
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = from.read(&mut chunk).await?;
            let room = u32::try_from(length).map_err(io::Error::other)?;
            let room =
                Arc::clone(&capacity).acquire_many_owned(room).await.map_err(io::Error::other)?;
            let left = self.leave(length);
            // No bytes mean the end.
            let late = Late {
                due: left + self.one_way(),
                bytes: Bytes::copy_from_slice(&chunk[..length]),
                _room: room,
            };
            if line.send(late).is_err() || length == 0 {
                return Ok(());
            }
            if left > Instant::now() + BOOKED_AHEAD {
                sleep_until(left - BOOKED_AHEAD).await;
            }
        }
    }
}

/// Bytes on their way.
struct Late {
    due: Instant,
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

async fn give_out(
    mut line: mpsc::UnboundedReceiver<Late>,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    while let Some(late) = line.recv().await {
        // A timer for a past moment would still cost time.
        if late.due > Instant::now() {
            sleep_until(late.due).await;
        }
        if late.bytes.is_empty() {
            break;
        }
        to.write_all(&late.bytes).await?;
    }
    to.shutdown().await
}

async fn serve(
    client: TcpStream,
    server_port: u16,
    up: Arc<Lane>,
    down: Arc<Lane>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    // Until then the client would not know that it is connected, and could send nothing.
    sleep(up.shape.round_trip).await;
    let (from_client, to_client) = client.into_split();
    let one_way = up.one_way();
    let (sender, receiver) = mpsc::unbounded_channel();
    // Both sockets close when this ends.
    tokio::try_join!(up.take_in(from_client, sender), async {
        // The server learns of the connection with the client's last packet of the handshake.
        sleep(one_way).await;
        let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
        server.set_nodelay(true)?;
        let (from_server, to_server) = server.into_split();
        tokio::try_join!(give_out(receiver, to_server), down.carry(from_server, to_client))
    })?;
    Ok(())
}
