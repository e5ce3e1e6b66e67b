//! The contents of one key: how a transaction makes sure that the table gets only one of them.
//!
//! The primary key of a ledger row has the `ETag` in it, so the rows of two contents of an
//! overwritten key do not meet there. They meet in this check. A transaction inserts its row, and
//! then reads all rows of its key under a shared lock. Of two transactions that insert rows of the
//! same key, at least one reads after the other has inserted. It waits there, and then knows:
//!
//! - The other has committed: its content is in the table, and this transaction rolls back.
//! - The other was rolled back: its row is gone, and this transaction goes on.
//! - Each waits for the other: the server finds the deadlock and rolls one of them back, which
//!   begins again and finds the first case.
//!
//! It therefore does not matter who lists first, whose claim was lost, and which server or run died
//! in between. The read is in the packet of the INSERT and costs no round trip.
//!
//! The read must not wait for the rows of other keys. It names the whole key, so that the server
//! looks it up in the primary key instead of reading a range, and READ COMMITTED locks no gaps.
//! Under REPEATABLE READ, which statement-based binary logs need, it also locks the gaps beside the
//! key: other loads then wait before they insert a row there.

use std::collections::BTreeMap;
use std::fmt::Display;

use mysql_async::{Row, from_row_opt};

use super::options::LedgerConfig;
use crate::error::{Error, ErrorKind};
use crate::object::Object;
use crate::policy::OnChanged;
use crate::sql_text::bytes_literal;

/// The treatment of what the ledger has of an object's key.
#[derive(Clone, Copy, Debug)]
pub struct KeyPolicy {
    /// True to remove an existing row of the same content first.
    pub replaces: bool,
    /// True to load the object also if other content of its key is loaded.
    pub loads_beside: bool,
}

impl LedgerConfig {
    /// Returns the policy for an object that is loaded again if `replaces`.
    #[must_use]
    pub fn key_policy(&self, replaces: bool) -> KeyPolicy {
        KeyPolicy { replaces, loads_beside: self.force || self.on_changed == OnChanged::Load }
    }
}

/// Returns the error for an object whose key is loaded with another `ETag`.
pub(crate) fn content_changed(object: impl Display, loaded: &str, listed: &str) -> Error {
    let message = format!(
        "{object}: its content has changed since it was loaded: ETag {loaded:?} then, {listed:?} \
         now"
    );
    Error::new(ErrorKind::ContentChanged, message)
}

/// Returns the error for an object of whose key parts are loaded with another `ETag`.
pub(crate) fn partial_changed(object: impl Display, partial: &str, listed: &str) -> Error {
    let message = format!(
        "{object}: parts of it were loaded when its ETag was {partial:?}, but its ETag is \
         {listed:?} now: the other parts cannot be loaded any more"
    );
    Error::new(ErrorKind::PartialChanged, message)
}

/// The other contents that one object's key may have in the ledger.
#[derive(Clone, Debug)]
pub(super) struct OtherContents {
    etag: String,
    loads_beside: bool,
}

impl OtherContents {
    pub(super) fn new(etag: &str, policy: KeyPolicy) -> Self {
        Self { etag: etag.to_owned(), loads_beside: policy.loads_beside }
    }

    /// Returns the query for all rows of the key, which [`OtherContents::refusal`] reads.
    pub(super) fn query(objects: &str, key_condition: &str) -> String {
        format!(
            "SELECT etag, CAST(state AS CHAR) \
             FROM {objects} FORCE INDEX (PRIMARY) \
             WHERE {key_condition} \
             LOCK IN SHARE MODE"
        )
    }

    /// Returns the error if other content of the key excludes this object.
    pub(super) fn refusal(&self, object: impl Display, rows: Vec<Row>) -> Option<Error> {
        let mut loaded = None;
        for row in rows {
            let (etag, state): (Vec<u8>, String) = from_row_opt(row).unwrap_or_default();
            if etag == self.etag.as_bytes() {
                continue;
            }
            let etag = String::from_utf8_lossy(&etag).into_owned();
            if state == "partial" {
                return Some(partial_changed(object, &etag, &self.etag));
            }
            loaded = Some(etag);
        }
        let loaded = loaded.filter(|_| !self.loads_beside)?;
        Some(content_changed(object, &loaded, &self.etag))
    }
}

/// Returns the query for the number of rows that exclude one of `objects`. `own` is a condition for
/// the rows of the transaction itself.
///
/// A list of keys in WHERE would do the same, but with several hundred of them the servers read all
/// rows of the bucket, and wait for those of other transactions. In a join they can only look up
/// one key after the other.
pub(super) fn count_of_others<'a>(
    table: &str,
    (target, generation): (&str, u32),
    objects: impl Iterator<Item = &'a Object>,
    own: &str,
    policy: KeyPolicy,
) -> String {
    let mut keys: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for object in objects {
        let key = bytes_literal(object.key.as_bytes());
        keys.entry(&object.bucket).or_default().push(key);
    }
    let keys: Vec<String> = keys
        .into_iter()
        .flat_map(|(bucket, keys)| {
            let bucket = bytes_literal(bucket.as_bytes());
            keys.into_iter().map(move |key| format!("SELECT {bucket} AS b, {key} AS k"))
        })
        .collect();
    let excludes = if policy.loads_beside {
        "others.state = 'partial'".to_owned()
    } else {
        format!("NOT ({own})")
    };
    format!(
        "SELECT COUNT(*) \
         FROM ({}) AS loading STRAIGHT_JOIN {table} AS others FORCE INDEX (PRIMARY) \
         ON others.target = {target} AND others.generation = {generation} AND others.bucket = \
         loading.b AND others.object_key = loading.k \
         WHERE {excludes} \
         LOCK IN SHARE MODE",
        keys.join(" UNION ALL ")
    )
}
