//! What the ledger knows of listed objects, asked for many at a time.

use std::collections::HashMap;

use super::control::list;
use super::handle::Ledger;
use super::identity::{etag, literal};
use crate::error::Result;
use crate::object::Object;

/// What the ledger knows of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectState {
    /// These very bytes are in the table.
    pub is_loaded: bool,
    /// Its key is loaded with this other `ETag`.
    pub loaded_etag: Option<String>,
    /// Parts of these very bytes may be in the table.
    pub is_partial: bool,
    /// Parts of its key may be in the table, with this other `ETag`.
    pub partial_etag: Option<String>,
    pub failed: Option<EarlierFailure>,
}

/// An earlier run failed to load the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierFailure {
    /// With the content that is listed now.
    pub is_same_content: bool,
    pub error_code: String,
    pub attempts: u32,
}

/// Rows for one key.
#[derive(Debug, Default)]
struct Rows {
    loaded_etags: Vec<Vec<u8>>,
    partial_etags: Vec<Vec<u8>>,
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
    }
}

impl Ledger {
    /// What is known of `objects`, in their order: one query, however many they are.
    ///
    /// # Errors
    /// What a connection can meet, past the retry bounds.
    pub async fn look_up(&self, generation: u32, objects: &[Object]) -> Result<Vec<ObjectState>> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.query(&self.look_up_sql(generation, objects)).await?;
        Ok(known_of(objects, rows))
    }

    /// The question after `objects`, of which there is one at least; [`known_of`] reads the answer.
    pub(super) fn look_up_sql(&self, generation: u32, objects: &[Object]) -> String {
        let mut keys_by_bucket: HashMap<&str, Vec<&[u8]>> = HashMap::new();
        for object in objects {
            keys_by_bucket.entry(&object.bucket).or_default().push(object.key.as_bytes());
        }
        let (target, tables) = (self.target.literal(), &self.tables);
        let questions: Vec<String> = keys_by_bucket
            .into_iter()
            .flat_map(|(bucket, keys)| {
                let bucket = literal(bucket.as_bytes());
                let wanted = format!(
                    "target = {target} AND generation = {generation} AND bucket = {bucket} AND object_key IN {}",
                    list(keys.into_iter())
                );
                [
                    format!(
                        "SELECT bucket, object_key, etag, '' AS error_code, state = 'partial' AS attempts FROM {} WHERE {wanted} AND state IN ('loaded', 'partial')",
                        tables.objects
                    ),
                    format!("SELECT bucket, object_key, etag, error_code, attempts FROM {} WHERE {wanted}", tables.failures),
                ]
            })
            .collect();
        questions.join(" UNION ALL ")
    }
}

/// A row of the answer: bucket, key, `ETag`; of a failure its code and attempts, else no code, and
/// 1 for an object that is partial.
pub(super) type KnownRow = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, u32);

/// What the rows say of each of `objects`, in their order.
pub(super) fn known_of(objects: &[Object], rows: Vec<KnownRow>) -> Vec<ObjectState> {
    let mut by_key: HashMap<(Vec<u8>, Vec<u8>), Rows> = HashMap::new();
    for (bucket, key, etag, error_code, attempts) in rows {
        let rows = by_key.entry((bucket, key)).or_default();
        if error_code.is_empty() {
            if attempts == 0 { rows.loaded_etags.push(etag) } else { rows.partial_etags.push(etag) }
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
