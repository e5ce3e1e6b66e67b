//! Claims: they decide which of several runs on one target works on an object.
//!
//! A claim is an advisory lock for each object in flight, requested without waiting. A run that
//! does not get the lock continues with the next object and comes back later. After a claim the run
//! asks the ledger again, because the run that had the claim before may have loaded the object
//! since the first look-up.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::control::{get_locks, names_sql};
use super::handle::Ledger;
use super::history::{ObjectState, known_of};
use super::identity::claim_name;
use crate::error::Result;
use crate::object::Object;

/// The claims of one run: the objects it has in hand, and the claims it can release.
#[derive(Debug, Default)]
pub struct Claims {
    state: Mutex<ClaimTable>,
    changed: Notify,
}

/// The objects that a run has begun and that have no outcome yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InHand {
    pub objects: usize,
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct ClaimTable {
    in_hand: InHand,
    /// The names of claims whose objects have an outcome. The next statement releases them.
    to_release: Vec<String>,
}

/// An object that this run alone works on, until this value is dropped.
#[derive(Debug)]
pub struct Claim {
    name: String,
    size_bytes: u64,
    claims: Arc<Claims>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.claims.lock();
        state.in_hand.objects -= 1;
        state.in_hand.bytes -= self.size_bytes;
        if !self.name.is_empty() {
            state.to_release.push(std::mem::take(&mut self.name));
        }
        drop(state);
        self.claims.changed.notify_one();
    }
}

/// The result of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// This run has the object, and the ledger said this about it after the claim.
    Ours(Claim, ObjectState),
    /// Another run has the object.
    Others,
}

impl Claims {
    fn lock(&self) -> std::sync::MutexGuard<'_, ClaimTable> {
        // A panic leaves nothing half-done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn in_hand(&self) -> InHand {
        self.lock().in_hand
    }

    /// Waits until an object has an outcome.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Claims an object where there is no ledger, and so no run to share with.
    #[must_use]
    pub fn unshared(self: &Arc<Self>, size_bytes: u64) -> Claim {
        self.claim(String::new(), size_bytes)
    }

    fn claim(self: &Arc<Self>, name: String, size_bytes: u64) -> Claim {
        let mut state = self.lock();
        state.in_hand.objects += 1;
        state.in_hand.bytes += size_bytes;
        drop(state);
        Claim { name, size_bytes, claims: Arc::clone(self) }
    }
}

impl Ledger {
    /// Claims those of `objects` that no run has claimed.
    ///
    /// If the future is dropped halfway, some objects may stay claimed on the server without anyone
    /// working on them, but only until the run ends.
    ///
    /// # Errors
    /// Any error of the connection that outlasts the retry bounds.
    pub async fn claim(
        &self,
        claims: &Arc<Claims>,
        generation: u32,
        objects: &[Object],
    ) -> Result<Vec<Claimed>> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = objects
            .iter()
            .map(|object| claim_name(&self.target, generation, &object.bucket, &object.key))
            .collect();
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        // All in one packet. The ledger is asked after the locks are taken.
        let sql = [
            self.releasing(claims).await,
            get_locks(&asked),
            self.look_up_sql(generation, objects),
        ]
        .join("; ");
        let mut answers = self.query_all(&sql).await?.skip(1);
        let taken: Vec<(String, Option<i64>)> =
            answers.next_rows().map_err(|error| self.unexpected_answer(&error))?;
        let taken: HashSet<String> =
            taken.into_iter().filter(|(_, got)| *got == Some(1)).map(|(name, _)| name).collect();
        // Before the next query, which may need a new connection that takes these locks again.
        self.control.lock().await.held.extend(taken.iter().cloned());
        let known = answers.next_rows().map_err(|error| self.unexpected_answer(&error))?;
        let known = known_of(objects, known);
        Ok(names
            .into_iter()
            .zip(known)
            .zip(objects)
            .map(|((name, known), object)| {
                if taken.contains(&name) {
                    Claimed::Ours(claims.claim(name, object.size_bytes), known)
                } else {
                    Claimed::Others
                }
            })
            .collect())
    }

    /// Returns the statement that releases the claims on objects that have an outcome.
    async fn releasing(&self, claims: &Claims) -> String {
        let names: HashSet<String> =
            std::mem::take(&mut claims.lock().to_release).into_iter().collect();
        if names.is_empty() {
            return "DO 0".to_owned();
        }
        self.control.lock().await.held.retain(|name| !names.contains(name));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("SELECT SUM(RELEASE_LOCK(n)) FROM ({}) AS names", names_sql(&names))
    }
}
