//! Looks up what the ledger knows about listed objects, many in one query.

use std::collections::HashMap;

use super::control::list;
use super::handle::Ledger;
use super::identity::etag;
use crate::error::Result;
use crate::object::Object;
use crate::sql_text::bytes_literal;

/// The ledger's knowledge of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectState {
    /// True if exactly this content is in the table.
    pub is_loaded: bool,
    /// The other `ETag` with which this key is loaded.
    pub loaded_etag: Option<String>,
    /// True if parts of exactly this content may be in the table.
    pub is_partial: bool,
    /// The other `ETag` with which parts of this key may be in the table.
    pub partial_etag: Option<String>,
    pub failed: Option<EarlierFailure>,
    /// True if somebody has acknowledged that exactly this content cannot be loaded.
    pub is_acknowledged: bool,
}

/// A failure of an earlier run to load the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierFailure {
    /// True if it failed with the content that is listed now.
    pub is_same_content: bool,
    pub error_code: String,
    pub attempts: u32,
}

/// The ledger rows of one key.
#[derive(Debug, Default)]
struct Rows {
    loaded_etags: Vec<Vec<u8>>,
    partial_etags: Vec<Vec<u8>>,
    acknowledged_etag: Option<Vec<u8>>,
    failed: Option<(Vec<u8>, Vec<u8>, u32)>,
}

fn known(object: &Object, rows: &Rows) -> ObjectState {
    let listed = etag(object).as_bytes();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_among = |etags: &[Vec<u8>]| etags.iter().any(|etag| etag == listed);
    let other =
        |etags: &[Vec<u8>]| etags.iter().find(|etag| *etag != listed).map(|etag| text(etag));
    ObjectState {
        is_loaded: is_among(&rows.loaded_etags),
        loaded_etag: other(&rows.loaded_etags),
        is_partial: is_among(&rows.partial_etags),
        partial_etag: other(&rows.partial_etags),
        failed: rows.failed.as_ref().map(|(failed_etag, error_code, attempts)| EarlierFailure {
            is_same_content: failed_etag == listed,
            error_code: text(error_code),
            attempts: *attempts,
        }),
        is_acknowledged: rows.acknowledged_etag.as_deref() == Some(listed),
    }
}

/// The room for a statement without its lists, which is more than any takes.
const STATEMENT_BYTES: usize = 16 * 1024;
/// The room for an object in the statement that claims it, without its names, which stand there
/// twice, in hexadecimal. No object takes as much.
const OBJECT_BYTES: usize = 200;

impl Ledger {
    /// Returns what is known about `objects`, in their order. This is one query, unless the server
    /// does not accept one that is so long.
    ///
    /// # Errors
    /// Any error of the connection that outlasts the retry bounds.
    pub async fn look_up(&self, generation: u32, objects: &[Object]) -> Result<Vec<ObjectState>> {
        let mut known = Vec::with_capacity(objects.len());
        for together in self.packets(objects) {
            let rows = self.query(&self.look_up_sql(generation, together)).await?;
            known.extend(known_of(together, rows));
        }
        Ok(known)
    }

    /// Divides objects into groups that one statement can name.
    pub(super) fn packets<'objects>(&self, objects: &'objects [Object]) -> Vec<&'objects [Object]> {
        let room_bytes = self.packet_room_bytes() / 4 * 3;
        let mut packets = Vec::new();
        let mut rest = objects;
        while !rest.is_empty() {
            let mut needed_bytes = 0;
            let fitting = rest.iter().take_while(|object| {
                needed_bytes += OBJECT_BYTES + 4 * (object.bucket.len() + object.key.len());
                needed_bytes <= room_bytes
            });
            let (packet, more) = rest.split_at(fitting.count().max(1));
            packets.push(packet);
            rest = more;
        }
        packets
    }

    /// Returns the bytes that a statement can spend on lists. When objects are claimed, the claims
    /// to release may take a quarter of them.
    pub(super) fn packet_room_bytes(&self) -> usize {
        self.sessions.max_packet_bytes().saturating_sub(STATEMENT_BYTES)
    }

    /// Returns the query for `objects`, which must not be empty. [`known_of`] reads the answer.
    pub(super) fn look_up_sql(&self, generation: u32, objects: &[Object]) -> String {
        let mut keys_by_bucket: HashMap<&str, Vec<&[u8]>> = HashMap::new();
        for object in objects {
            keys_by_bucket.entry(&object.bucket).or_default().push(object.key.as_bytes());
        }
        let (target, tables) = (self.target.literal(), &self.tables);
        let questions: Vec<String> = keys_by_bucket
            .into_iter()
            .flat_map(|(bucket, keys)| {
                let bucket = bytes_literal(bucket.as_bytes());
                let wanted = format!(
                    "target = {target} AND generation = {generation} AND bucket = {bucket} AND \
                     object_key IN {}",
                    list(keys.iter().copied())
                );
                let acks = self.has_acks.then(|| {
                    let wanted = format!(
                        "target = {target} AND bucket = {bucket} AND object_key IN {}",
                        list(keys.iter().copied())
                    );
                    format!(
                        "SELECT bucket, object_key, etag, '' AS error_code, {ACKNOWLEDGED} AS \
                         attempts FROM {} WHERE {wanted}",
                        tables.acks
                    )
                });
                let questions = [
                    format!(
                        "SELECT bucket, object_key, etag, '' AS error_code, state = 'partial' AS \
                         attempts \
                         FROM {} \
                         WHERE {wanted} AND state IN ('loaded', 'partial')",
                        tables.objects
                    ),
                    format!(
                        "SELECT bucket, object_key, etag, error_code, attempts \
                         FROM {} \
                         WHERE {wanted}",
                        tables.failures
                    ),
                ];
                questions.into_iter().chain(acks)
            })
            .collect();
        questions.join(" UNION ALL ")
    }
}

/// The attempts in the row of an acknowledgement.
const ACKNOWLEDGED: u32 = 2;

/// A row of the answer: bucket, key, `ETag`, error code, attempts. A row that is not a failure has
/// no code; its attempts are 0 for a loaded object, 1 for a partial one, and [`ACKNOWLEDGED`].
pub(super) type KnownRow = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, u32);

/// Returns what the rows say about each of `objects`, in their order.
pub(super) fn known_of(objects: &[Object], rows: Vec<KnownRow>) -> Vec<ObjectState> {
    let mut by_key: HashMap<(Vec<u8>, Vec<u8>), Rows> = HashMap::new();
    for (bucket, key, etag, error_code, attempts) in rows {
        let rows = by_key.entry((bucket, key)).or_default();
        if error_code.is_empty() {
            match attempts {
                0 => rows.loaded_etags.push(etag),
                ACKNOWLEDGED => rows.acknowledged_etag = Some(etag),
                _ => rows.partial_etags.push(etag),
            }
        } else {
            rows.failed = Some((etag, error_code, attempts));
        }
    }
    let none = Rows::default();
    objects
        .iter()
        .map(|object| {
            let place = (object.bucket.as_bytes().to_vec(), object.key.as_bytes().to_vec());
            known(object, by_key.get(&place).unwrap_or(&none))
        })
        .collect()
}
