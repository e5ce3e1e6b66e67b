//! The guarantees of the slow path in tests and benchmarks. Only lower bounds of times are certain,
//! because a busy machine is late.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::registry::{apply, plain_test};
use crate::support::link::{Link, Shape};

const MEGABYTE: usize = 1_000_000;
/// 5 Mbit/s.
const RATE: Shape = Shape { round_trip: Duration::ZERO, bytes_per_second: Some(625_000) };

/// Starts a server that sends everything back.
async fn echo() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = socket.into_split();
                tokio::io::copy(&mut from, &mut to).await.ok()
            });
        }
    });
    Ok(port)
}

/// Sends this many bytes, each unlike its neighbors, and compares the ones that come back until
/// the end.
async fn there_and_back(port: u16, length: usize) -> Result<()> {
    let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
    let (mut from, mut to) = TcpStream::connect(("127.0.0.1", port)).await?.into_split();
    let mut back = Vec::with_capacity(length);
    let send = async {
        to.write_all(&bytes).await?;
        to.shutdown().await
    };
    tokio::try_join!(send, from.read_to_end(&mut back))?;
    ensure!(back == bytes, "{} bytes came back, or others than were sent", back.len());
    Ok(())
}

#[apply(plain_test)]
async fn no_answer_comes_before_a_round_trip_and_a_connection_costs_one_more() -> Result<()> {
    let round_trip = Duration::from_millis(60);
    let link = Link::start(echo().await?, Shape { round_trip, bytes_per_second: None }).await?;
    let began = Instant::now();
    let mut socket = TcpStream::connect(("127.0.0.1", link.port())).await?;
    socket.write_all(b"a").await?;
    socket.read_exact(&mut [0]).await?;
    ensure!(began.elapsed() >= 2 * round_trip, "{:?}", began.elapsed());
    for _ in 0..3 {
        let began = Instant::now();
        socket.write_all(b"a").await?;
        socket.read_exact(&mut [0]).await?;
        ensure!(began.elapsed() >= round_trip, "{:?}", began.elapsed());
    }
    Ok(())
}

#[apply(plain_test)]
async fn a_rate_is_kept_to_in_both_directions() -> Result<()> {
    let link = Link::start(echo().await?, RATE).await?;
    let began = Instant::now();
    there_and_back(link.port(), MEGABYTE).await?;
    // Data that was slowed on the way there is not slowed again.
    ensure!(began.elapsed() >= Duration::from_millis(1600), "{:?}", began.elapsed());
    // The way back alone, without a request.
    let (listener, answer) = (TcpListener::bind(("127.0.0.1", 0)).await?, vec![b'a'; MEGABYTE]);
    let link = Link::start(listener.local_addr()?.port(), RATE).await?;
    let began = Instant::now();
    let mut client = TcpStream::connect(("127.0.0.1", link.port())).await?;
    let (mut server, _) = listener.accept().await?;
    let mut received = vec![0; MEGABYTE];
    tokio::try_join!(server.write_all(&answer), client.read_exact(&mut received))?;
    ensure!(began.elapsed() >= Duration::from_millis(1600), "{:?}", began.elapsed());
    ensure!(received == answer, "other bytes came than were sent");
    Ok(())
}

#[apply(plain_test)]
async fn connections_share_the_rate() -> Result<()> {
    let link = Link::start(echo().await?, RATE).await?;
    let began = Instant::now();
    futures_util::future::try_join_all((0..4).map(|_| there_and_back(link.port(), MEGABYTE / 4)))
        .await?;
    ensure!(began.elapsed() >= Duration::from_millis(1600), "{:?}", began.elapsed());
    Ok(())
}

/// The upper bound is far from both: one chunk at a time would take over a minute, and this takes
/// less than a second.
#[apply(plain_test)]
async fn a_delay_alone_does_not_limit_what_is_sent() -> Result<()> {
    let shape = Shape { round_trip: Duration::from_millis(200), bytes_per_second: None };
    let link = Link::start(echo().await?, shape).await?;
    let began = Instant::now();
    there_and_back(link.port(), 16 * MEGABYTE).await?;
    ensure!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    Ok(())
}

#[apply(plain_test)]
async fn the_end_of_what_is_sent_comes_through_behind_the_last_byte() -> Result<()> {
    let shape = Shape { round_trip: Duration::from_millis(40), bytes_per_second: Some(10_000_000) };
    let link = Link::start(echo().await?, shape).await?;
    // It reads to the end: the echo ends when its input does.
    there_and_back(link.port(), MEGABYTE).await
}

#[apply(plain_test)]
async fn nothing_is_left_of_a_link_that_has_ended() -> Result<()> {
    let link = Link::start(echo().await?, Shape::default()).await?;
    let port = link.port();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.write_all(b"a").await?;
    socket.read_exact(&mut [0]).await?;
    drop(link);
    // The socket is closed or reset.
    ensure!(matches!(socket.read(&mut [0]).await, Ok(0) | Err(_)), "it goes on");
    ensure!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "it still listens");
    Ok(())
}
