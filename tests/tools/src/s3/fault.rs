//! Makes the endpoint misbehave on demand, and reports to the test when a fault took effect.
//!
//! A fault that refuses, holds or delays acts after the signature check and before any lookup. If
//! several faults match one request, they act in the order in which they were injected.

use super::log::{Operation, Request};
use std::collections::HashMap;
use std::mem::discriminant;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// An error response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: &'static str,
}

impl Refusal {
    pub const SLOW_DOWN: Self = Self::new(503, "SlowDown", "Please reduce your request rate.");
    pub const SERVICE_UNAVAILABLE: Self = Self::new(503, "ServiceUnavailable", "Please try again.");
    pub const INTERNAL_ERROR: Self =
        Self::new(500, "InternalError", "We encountered an internal error. Please try again.");
    pub const ACCESS_DENIED: Self = Self::new(403, "AccessDenied", "Access Denied");
    pub const ARCHIVED: Self = Self::new(
        403,
        "InvalidObjectState",
        "The operation is not valid for the object's storage class",
    );
    pub const KMS_DENIED: Self = Self::new(
        403,
        "AccessDenied",
        "User: arn:aws:iam::111122223333:user/loader is not authorized to perform: kms:Decrypt on \
         the resource associated with this ciphertext because no identity-based policy allows the \
         kms:Decrypt action",
    );
    pub const NO_SUCH_KEY: Self = Self::new(404, "NoSuchKey", "The specified key does not exist.");
    pub const NO_SUCH_BUCKET: Self =
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist");
    pub const EXPIRED_TOKEN: Self =
        Self::new(400, "ExpiredToken", "The provided token has expired.");
    pub const CLOCK_SKEWED: Self = Self::new(
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
    );
    pub const PRECONDITION_FAILED: Self = Self::new(
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    );
    /// The response of Garage to a HEAD with checksum mode.
    pub const BAD_REQUEST: Self = Self::new(400, "InvalidRequest", "Bad request");

    pub const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }
}

/// A change of a document.
pub type Edit = Arc<dyn Fn(String) -> String + Send + Sync>;

type Hook = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A fault. Offsets are counted from the start of the body that would be sent.
#[derive(Clone)]
pub enum Fault {
    /// The response is this error.
    Refuse(Refusal),
    /// The response is held until [`Injection::release`].
    Hold,
    /// The response comes this much later.
    Delay(Duration),
    /// Something else happens first, for example an overwrite: see [`Fault::before`].
    Before(Hook),
    /// The connection is closed when this much of the body has been sent, although more was
    /// promised.
    CutBody { after_bytes: u64 },
    /// The body stops after this many bytes, until [`Injection::release`].
    StallBody { after_bytes: u64 },
    /// The body ends after this many bytes, and `Content-Length` agrees. ETag and checksum are
    /// those of the whole object.
    ShortenBody { to_bytes: u64 },
    /// One bit of this byte arrives changed.
    FlipBit { at_byte: u64 },
    /// The checksum header does not match the content.
    WrongChecksum,
    /// `GetObject` and `HeadObject` return 200 with the present object, whatever If-Match says.
    IgnoreIfMatch,
    /// `GetObject` returns 200 with the whole object, whatever Range says.
    IgnoreRange,
    /// Listings, `GetObject` and `HeadObject` return no ETag.
    NoEtag,
    /// Listings return keys as they are, even under `encoding-type=url`.
    PlainKeys,
    /// Every page of the listing says that more follows, under the same token as the request's.
    EndlessListing,
    /// The body of a listing is what this makes of it, with a `Content-Length` of its own: see
    /// [`Fault::edit_listing`].
    EditListing(Edit),
}

impl Fault {
    /// Runs a hook after the request is logged and before it is answered.
    pub fn before<F>(hook: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::Before(Arc::new(move |request| Box::pin(hook(request))))
    }

    /// Returns the fault of a listing that something other than an S3 store answers.
    pub fn garbage_listing() -> Self {
        Self::edit_listing(|_| {
            "<html><body><h1>Welcome</h1><p>Please log in</body></html>".to_owned()
        })
    }

    /// Changes the XML document of a listing.
    pub fn edit_listing(edit: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        Self::EditListing(Arc::new(edit))
    }
}

/// The keys that a fault applies to. For a listing, its prefix counts as the key.
#[derive(Clone)]
pub enum Keys {
    Any,
    Exactly(String),
    StartingWith(String),
    Where(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl Keys {
    fn contains(&self, key: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exact) => key == exact,
            Self::StartingWith(prefix) => key.starts_with(prefix),
            Self::Where(is_met) => is_met(key),
        }
    }
}

/// The requests that a fault applies to, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Always,
    /// The next N matching requests.
    Next(u64),
    /// The next N matching requests of each key.
    NextOfEachKey(u64),
    /// Every matching request after the first N.
    After(u64),
}

/// The faults of an endpoint. A clone shares the same list.
#[derive(Clone, Default)]
pub struct Faults {
    rules: Arc<Mutex<Vec<Arc<Rule>>>>,
}

pub(super) struct Rule {
    /// `None` for any operation.
    operation: Option<Operation>,
    keys: Keys,
    times: Times,
    pub(super) fault: Fault,
    met: Mutex<HashMap<String, u64>>,
    released: watch::Sender<bool>,
    effects: watch::Sender<u64>,
}

impl Faults {
    /// Injects a fault for the matching requests.
    pub fn inject(
        &self,
        operation: Operation,
        keys: Keys,
        times: Times,
        fault: Fault,
    ) -> Injection {
        self.add(Some(operation), keys, times, fault)
    }

    /// Injects a fault for every request.
    pub fn on_everything(&self, times: Times, fault: Fault) -> Injection {
        self.add(None, Keys::Any, times, fault)
    }

    fn add(
        &self,
        operation: Option<Operation>,
        keys: Keys,
        times: Times,
        fault: Fault,
    ) -> Injection {
        let rule = Arc::new(Rule {
            operation,
            keys,
            times,
            fault,
            met: Mutex::default(),
            released: watch::Sender::new(false),
            effects: watch::Sender::new(0),
        });
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&rule));
        Injection { rule, faults: self.clone() }
    }

    /// Injects a fault for the GETs of one key.
    pub fn on_get(&self, key: &str, times: Times, fault: Fault) -> Injection {
        self.inject(Operation::GetObject, Keys::Exactly(key.to_owned()), times, fault)
    }

    /// Holds GETs until no further one arrives for a moment, and then answers all at once. Objects
    /// that arrive together are loaded together.
    pub fn answer_gets_together(&self) -> Injection {
        const QUIET: Duration = Duration::from_millis(300);
        let requests = watch::Sender::new(0_u64);
        let fault = Fault::before(move |_| {
            requests.send_modify(|count| *count += 1);
            let mut further = requests.subscribe();
            async move {
                // Each further request restarts the wait.
                while let Ok(Ok(())) = tokio::time::timeout(QUIET, further.changed()).await {}
            }
        });
        self.inject(Operation::GetObject, Keys::Any, Times::Always, fault)
    }

    /// Injects a fault for listings.
    pub fn on_list(&self, times: Times, fault: Fault) -> Injection {
        self.inject(Operation::ListObjectsV2, Keys::Any, times, fault)
    }

    /// Removes all faults. What is held or stalled stays so until it is released.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn met_by(&self, request: &Request) -> Vec<Arc<Rule>> {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter().filter(|rule| rule.meets(request)).cloned().collect()
    }
}

impl Rule {
    fn meets(&self, request: &Request) -> bool {
        if self.operation.is_some_and(|operation| operation != request.operation)
            || !self.keys.contains(&request.key)
        {
            return false;
        }
        let counted_under =
            if matches!(self.times, Times::NextOfEachKey(_)) { request.key.as_str() } else { "" };
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let count = met.entry(counted_under.to_owned()).or_default();
        *count += 1;
        match self.times {
            Times::Always => true,
            Times::Next(times) | Times::NextOfEachKey(times) => *count <= times,
            Times::After(times) => *count > times,
        }
    }

    pub(super) fn took_effect(&self) {
        self.effects.send_modify(|count| *count += 1);
    }

    pub(super) async fn released(&self) {
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }
}

/// An injected fault. Dropping this changes nothing.
pub struct Injection {
    rule: Arc<Rule>,
    faults: Faults,
}

impl Injection {
    /// Returns how often the fault took effect: requests refused, held or changed, and bodies that
    /// reached the offset of the fault.
    pub fn effect_count(&self) -> u64 {
        *self.rule.effects.borrow()
    }

    /// Waits until the fault has taken effect `count` times.
    pub async fn wait_for_effects(&self, count: u64) {
        // The sender lives in the rule, so the channel cannot be closed.
        let _ = self.rule.effects.subscribe().wait_for(|effects| *effects >= count).await;
    }

    /// Releases everything that it holds or stalls, now and later.
    pub fn release(&self) {
        self.rule.released.send_replace(true);
    }

    /// Releases everything that it holds, and applies to no further request.
    pub fn remove(&self) {
        self.faults
            .rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|rule| !Arc::ptr_eq(rule, &self.rule));
        self.release();
    }
}

/// The faults of one request that change its response.
#[derive(Default)]
pub(super) struct Effects(Vec<Arc<Rule>>);

impl Effects {
    pub(super) fn push(&mut self, rule: Arc<Rule>) {
        self.0.push(rule);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the request met a fault of this kind, which then counts as having taken
    /// effect. Use it for faults that carry no data.
    pub(super) fn has(&self, kind: &Fault) -> bool {
        self.take(|fault| (discriminant(fault) == discriminant(kind)).then_some(())).is_some()
    }

    /// Returns the first fault that `pick` accepts, which counts as having taken effect.
    pub(super) fn take<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let (found, rule) = self.find(pick)?;
        rule.took_effect();
        Some(found)
    }

    /// Returns the first fault that `pick` accepts. The caller reports when it takes effect.
    pub(super) fn find<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<(T, Arc<Rule>)> {
        self.0.iter().find_map(|rule| Some((pick(&rule.fault)?, Arc::clone(rule))))
    }
}
