//! Claims: they decide which of several runs on one target works on an object.
//!
//! A claim is an advisory lock for each object in flight, requested without waiting. A run that
//! does not get the lock continues with the next object and comes back later. After a claim the run
//! asks the ledger again, because the run that had the claim before may have loaded the object
//! since the first look-up.
//!
//! Any account can take any advisory lock and keep it. So a run waits for a claim without limit
//! only while a live run holds it. If the holder is another connection, the run says so, and after
//! `--retry-max-elapsed` it loads the object without a claim: the ledger's rows keep what two runs
//! load at the same time from being loaded twice.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::control::{get_locks, names_sql};
use super::handle::Ledger;
use super::history::{ObjectState, known_of};
use super::identity::{RUN_LOCK_PREFIX, claim_name};
use crate::error::Result;
use crate::object::Object;

/// The number of claims whose holders are asked for in one packet.
const HOLDERS_AT_ONCE: usize = 200;

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
    /// A `u128`, because the sum of listed sizes can exceed a `u64`.
    pub bytes: u128,
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
        state.in_hand.bytes -= u128::from(self.size_bytes);
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
        state.in_hand.bytes += u128::from(size_bytes);
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
        let mut claimed = Vec::with_capacity(objects.len());
        for together in self.packets(objects) {
            claimed.extend(self.claim_together(claims, generation, together).await?);
        }
        Ok(claimed)
    }

    /// Claims objects by one packet, which must not be empty.
    async fn claim_together(
        &self,
        claims: &Arc<Claims>,
        generation: u32,
        objects: &[Object],
    ) -> Result<Vec<Claimed>> {
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
        // Names that were not asked for would end up in statements.
        let taken: HashSet<String> = taken
            .into_iter()
            .filter(|(name, got)| *got == Some(1) && asked.contains(&name.as_str()))
            .map(|(name, _)| name)
            .collect();
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

    /// Returns, for each of `objects`, the id of the connection that holds its claim if that is no
    /// live run's. Any account can take an advisory lock of any name, and keep it.
    ///
    /// # Errors
    /// Any error of the connection that outlasts the retry bounds.
    pub async fn foreign_holders(
        &self,
        generation: u32,
        objects: &[Object],
    ) -> Result<Vec<Option<u64>>> {
        let mut holders = Vec::with_capacity(objects.len());
        for together in objects.chunks(HOLDERS_AT_ONCE) {
            holders.extend(self.holders_of(generation, together).await?);
        }
        Ok(holders)
    }

    /// Does the same for a few objects, in one packet.
    async fn holders_of(&self, generation: u32, objects: &[Object]) -> Result<Vec<Option<u64>>> {
        let names: Vec<String> = objects
            .iter()
            .map(|object| claim_name(&self.target, generation, &object.bucket, &object.key))
            .collect();
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        // A run that ends in between is no longer among the second answer's runs, but it may be
        // the holder in the first. Such a claim is free the next time.
        let sql = format!(
            "SELECT n, IS_USED_LOCK(n) FROM ({}) AS names; \
             SELECT IS_USED_LOCK(SHA2(CONCAT('{RUN_LOCK_PREFIX}', run_id), 256)) \
             FROM {} \
             WHERE target = {} AND ended_at IS NULL",
            names_sql(&asked),
            self.tables.runs,
            self.target.literal()
        );
        let mut answers = self.query_all(&sql).await?;
        let holders: Vec<(String, Option<u64>)> =
            answers.next_rows().map_err(|error| self.unexpected_answer(&error))?;
        let holders: HashMap<String, Option<u64>> = holders.into_iter().collect();
        let runs: Vec<Option<u64>> =
            answers.next_rows().map_err(|error| self.unexpected_answer(&error))?;
        let runs: HashSet<u64> = runs.into_iter().flatten().collect();
        Ok(names
            .iter()
            .map(|name| holders.get(name).copied().flatten().filter(|id| !runs.contains(id)))
            .collect())
    }

    /// Returns the statement that releases the claims on objects that have an outcome. The next one
    /// releases those that do not fit beside others.
    async fn releasing(&self, claims: &Claims) -> String {
        let names: HashSet<String> = {
            let mut state = claims.lock();
            let to_release = &mut state.to_release;
            let count = to_release.len().min(self.names_in_packet() / 4);
            to_release.drain(..count).collect()
        };
        if names.is_empty() {
            return "DO 0".to_owned();
        }
        self.control.lock().await.held.retain(|name| !names.contains(name));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("SELECT SUM(RELEASE_LOCK(n)) FROM ({}) AS names", names_sql(&names))
    }
}
