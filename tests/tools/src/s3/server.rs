//! The endpoint's sockets: a listener on loopback, and HTTP/1.1 on each connection, which passes
//! its requests to `s3s`.

use super::access::{FixedKey, OpenBuckets};
use super::backend::Backend;
use super::fault::{Edit, Faults};
use super::log::RequestLog;
use super::service::Service;
use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A running S3 endpoint with path-style addressing only. Dropping it stops it, including
/// connections in use.
pub struct Endpoint {
    address: SocketAddr,
    url: String,
    backend: Backend,
    faults: Faults,
    log: RequestLog,
    accepting: JoinHandle<()>,
}

impl Endpoint {
    /// Starts to serve on a free port of 127.0.0.1. The caller must be in a tokio runtime, on which
    /// the endpoint then runs.
    pub fn start(backend: Backend) -> anyhow::Result<Self> {
        Self::start_on(backend, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts to serve on an address of the caller's choice.
    pub fn start_on(backend: Backend, address: SocketAddr) -> anyhow::Result<Self> {
        let bind = || format!("cannot listen on {address}");
        let listener = std::net::TcpListener::bind(address).with_context(bind)?;
        listener.set_nonblocking(true).with_context(bind)?;
        let address = listener.local_addr().with_context(bind)?;
        let listener = TcpListener::from_std(listener).with_context(bind)?;

        let (faults, log) = (Faults::default(), RequestLog::default());
        let service =
            Service { backend: backend.clone(), faults: faults.clone(), log: log.clone() };
        let mut builder = S3ServiceBuilder::new(service);
        builder.set_auth(FixedKey);
        builder.set_access(OpenBuckets(backend.clone()));
        let accepting = tokio::spawn(accept(listener, builder.build()));
        Ok(Self { address, url: format!("http://{address}"), backend, faults, log, accepting })
    }

    /// Returns the URL for `--endpoint-url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    pub fn log(&self) -> &RequestLog {
        &self.log
    }

    /// Stops the endpoint, and returns when the port is closed.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // The only result is that the task was cancelled.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, service: S3Service) {
    // Dropped with this task, which closes every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error here means that the client has already disconnected.
                if let Ok((socket, _)) = accepted {
                    connections.spawn(serve(socket, service.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(socket: TcpStream, service: S3Service) {
    // Otherwise a response in two writes waits 40 ms for the client's delayed ACK.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let flushes = Flushes::default();
    let connection = Connection { socket: TokioIo::new(socket), flushes: flushes.clone() };
    let answer = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(s3s::Body::from);
        request.extensions_mut().insert(flushes.clone());
        let service = service.clone();
        async move {
            let mut response = service.call(request).await.map_err(io::Error::other)?;
            if let Some(BodyEdit(edit)) = response.extensions_mut().remove()
                && let Some(body) = response.body().bytes()
            {
                response.headers_mut().remove(CONTENT_LENGTH);
                let edited = edit(String::from_utf8_lossy(&body).into_owned());
                *response.body_mut() = s3s::Body::from(edited);
            }
            io::Result::Ok(response)
        }
    });
    // An error means that the client disconnected, or that a body was cut on purpose. Either way
    // the connection is closed.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(connection, answer).await;
}

/// Put into a response's extensions, this changes its body.
#[derive(Clone)]
pub(super) struct BodyEdit(pub(super) Edit);

/// Notifies a body when everything before it has been written to the socket.
#[derive(Clone, Default)]
pub(super) struct Flushes(Arc<watch::Sender<u64>>);

impl Flushes {
    /// Waits for the next complete flush. Call it only while hyper polls the body, because hyper
    /// flushes then.
    pub(super) async fn next(&self) {
        let mut count = self.0.subscribe();
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = count.changed().await;
    }
}

/// A socket that reports when it was flushed.
struct Connection {
    socket: TokioIo<TcpStream>,
    flushes: Flushes,
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if flushed.is_ready() {
            self.flushes.0.send_modify(|count| *count += 1);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }
}
