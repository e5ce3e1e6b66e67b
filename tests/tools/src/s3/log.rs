//! The log of requests and of what is in flight, which tests count and inspect.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// The operations that the endpoint supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    ListObjectsV2,
    GetObject,
    HeadObject,
    HeadBucket,
    PutObject,
    DeleteObject,
    CreateBucket,
    PutBucketVersioning,
}

/// A request that passed the signature check. A field is `None` if its header or parameter was not
/// sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub operation: Operation,
    pub bucket: String,
    /// The key. For a listing, its prefix; for an operation on a bucket, empty.
    pub key: String,
    pub at: Instant,
    pub is_signed: bool,
    /// The region that a listing was signed for.
    pub region: Option<String>,
    pub range: Option<String>,
    /// The header as it was sent, including its quotes.
    pub if_match: Option<String>,
    pub version_id: Option<String>,
    pub asks_checksum: bool,
    pub payer: Option<String>,
    pub continuation_token: Option<String>,
    pub start_after: Option<String>,
    pub delimiter: Option<String>,
    pub max_keys: Option<i32>,
    pub encoding_type: Option<String>,
    pub accept_encoding: Option<String>,
    /// The header that names the signed headers.
    pub authorization: Option<String>,
}

impl Request {
    pub(super) fn new(operation: Operation, bucket: &str, key: &str, is_signed: bool) -> Self {
        Self {
            operation,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            at: Instant::now(),
            is_signed,
            region: None,
            range: None,
            if_match: None,
            version_id: None,
            asks_checksum: false,
            payer: None,
            continuation_token: None,
            start_after: None,
            delimiter: None,
            max_keys: None,
            encoding_type: None,
            accept_encoding: None,
            authorization: None,
        }
    }
}

/// Every request since the endpoint started. A clone shares the same log.
#[derive(Clone, Default)]
pub struct RequestLog {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Changes with every request, and with every change of what is in flight.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    gets_in_flight: usize,
    max_gets_in_flight: usize,
    outstanding_bytes: u64,
    max_outstanding_bytes: u64,
}

impl RequestLog {
    /// Returns all requests in the order of their arrival, including refused ones.
    pub fn all(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Returns the requests for one operation.
    pub fn of(&self, operation: Operation) -> Vec<Request> {
        self.state()
            .requests
            .iter()
            .filter(|request| request.operation == operation)
            .cloned()
            .collect()
    }

    /// Returns the number of requests for one operation.
    pub fn count(&self, operation: Operation) -> usize {
        self.state().requests.iter().filter(|request| request.operation == operation).count()
    }

    /// Returns the GETs for one key, in any bucket.
    pub fn gets_of(&self, key: &str) -> Vec<Request> {
        self.of(Operation::GetObject).into_iter().filter(|request| request.key == key).collect()
    }

    /// Clears the requests and the maxima. What is in flight stays counted.
    pub fn clear(&self) {
        let mut state = self.state();
        state.requests.clear();
        state.max_gets_in_flight = state.gets_in_flight;
        state.max_outstanding_bytes = state.outstanding_bytes;
    }

    /// Returns the number of GETs that have arrived and whose body is neither sent nor abandoned.
    pub fn gets_in_flight(&self) -> usize {
        self.state().gets_in_flight
    }

    /// Returns the maximum number of GETs that were in flight at once.
    pub fn max_gets_in_flight(&self) -> usize {
        self.state().max_gets_in_flight
    }

    /// Returns the maximum of the bytes that responses to GETs promised and had not yet handed to a
    /// socket.
    pub fn max_outstanding_bytes(&self) -> u64 {
        self.state().max_outstanding_bytes
    }

    /// Waits until the condition holds for the log. It is checked after every request and at every
    /// end of a body.
    pub async fn wait_until(&self, is_true: impl Fn(&Self) -> bool) {
        let mut changes = self.inner.changes.subscribe();
        loop {
            changes.borrow_and_update();
            // The sender lives in `self`, so the channel cannot be closed.
            if is_true(self) || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Adds a request. The returned token keeps a GET counted as in flight.
    pub(super) fn record(&self, request: Request) -> Option<InFlight> {
        let is_get = request.operation == Operation::GetObject;
        {
            let mut state = self.state();
            state.requests.push(request);
            if is_get {
                state.gets_in_flight += 1;
                state.max_gets_in_flight = state.max_gets_in_flight.max(state.gets_in_flight);
            }
        }
        self.changed();
        is_get.then(|| InFlight { log: self.clone(), outstanding_bytes: 0 })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.inner.changes.send_modify(|count| *count += 1);
    }
}

/// A GET in flight, from its arrival until its body is sent, cut or abandoned: until this is
/// dropped.
pub(super) struct InFlight {
    log: RequestLog,
    outstanding_bytes: u64,
}

impl InFlight {
    pub(super) fn promise(&mut self, length_bytes: u64) {
        self.outstanding_bytes += length_bytes;
        let mut state = self.log.state();
        state.outstanding_bytes += length_bytes;
        state.max_outstanding_bytes = state.max_outstanding_bytes.max(state.outstanding_bytes);
    }

    pub(super) fn sent(&mut self, length_bytes: u64) {
        let sent_bytes = length_bytes.min(self.outstanding_bytes);
        self.outstanding_bytes -= sent_bytes;
        self.log.state().outstanding_bytes -= sent_bytes;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        {
            let mut state = self.log.state();
            state.gets_in_flight -= 1;
            state.outstanding_bytes -= self.outstanding_bytes;
        }
        self.log.changed();
    }
}
