//! Makes the ledger forget objects, so that the next run loads them again. Rows that are in the
//! table stay there.
//!
//! Objects in flight are left alone: their ledger rows are not committed, so they are neither
//! counted nor waited for. A split object is different: its own row is committed. Forgetting it
//! waits for its parts in flight, and no part can begin after that.

use super::admin::LedgerAdmin;
use super::identity::object_id;
use crate::error::Result;
use crate::s3_uri::SourceUri;
use crate::sql_text::bytes_literal;

/// The number of rows that one transaction removes: few enough that a run which meets them waits
/// only for a moment.
const BATCH: usize = 500;

/// The counts of what was removed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub sums: Forgotten,
    /// The counts of transactions whose COMMIT was not answered: they are gone, or the next call
    /// removes them.
    pub unanswered: Forgotten,
}

/// The counts of what the ledger has for some objects, in all generations, or of what was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The number of ledger rows: more than keys if objects were loaded several times.
    pub objects: u64,
    /// The number of their rows in the table, according to the ledger.
    pub rows: u64,
    pub bytes: u64,
    pub failures: u64,
    pub acknowledgements: u64,
}

impl LedgerAdmin {
    /// Counts what [`LedgerAdmin::forget`] would remove.
    ///
    /// # Errors
    /// Any error of a query. Do not use the connection after that.
    pub async fn survey(&mut self, uri: &SourceUri) -> Result<Forgotten> {
        let mut found = Forgotten::default();
        let condition = keys(uri, None);
        for generation in self.generations("objects").await? {
            let sql = format!(
                "SELECT COUNT(*) AS object_count, COALESCE(SUM(row_count), 0) AS row_count, \
                 COALESCE(SUM(size_bytes), 0) AS size_bytes \
                 FROM {} \
                 WHERE {} AND {condition}",
                self.tables.objects,
                self.in_generation(generation)
            );
            if let Some(mut fields) = self.rows(&sql).await?.pop() {
                found.objects += fields.take::<u64>("object_count")?;
                found.rows += fields.take::<u64>("row_count")?;
                found.bytes += fields.take::<u64>("size_bytes")?;
            }
            let sql = format!(
                "SELECT object_key, etag FROM {} WHERE {} AND {condition} AND state = 'partial'",
                self.tables.objects,
                self.in_generation(generation)
            );
            let mut ids = Vec::new();
            for mut fields in self.rows(&sql).await? {
                let (key, etag) = (fields.text("object_key")?, fields.text("etag")?);
                ids.push(object_id(&self.target, generation, uri.bucket(), &key, &etag));
            }
            found.rows += self.rows_of_parts(&ids).await?;
        }
        for generation in self.generations("failures").await? {
            let sql = format!(
                "SELECT COUNT(*) AS failure_count FROM {} WHERE {} AND {condition}",
                self.tables.failures,
                self.in_generation(generation)
            );
            if let Some(mut fields) = self.rows(&sql).await?.pop() {
                found.failures += fields.take::<u64>("failure_count")?;
            }
        }
        found.acknowledgements = self.count_acks(uri).await?;
        Ok(found)
    }

    /// Removes what the ledger has for these objects, in transactions of bounded size. Each is
    /// added to `removed` as it commits, so that the counts are correct even if an error ends the
    /// call early. Another call continues from there.
    ///
    /// # Errors
    /// Any error of a query. Do not use the connection after that.
    pub async fn forget(&mut self, uri: &SourceUri, removed: &mut Removed) -> Result<()> {
        for generation in self.generations("objects").await? {
            let mut from: Option<Vec<u8>> = None;
            while let Some(next) =
                self.forget_objects(uri, generation, from.as_deref(), removed).await?
            {
                from = Some(next);
            }
        }
        for generation in self.generations("failures").await? {
            while self.forget_failures(uri, generation, removed).await? {}
        }
        let acknowledgements = self.forget_acks(uri).await?;
        removed.sums.acknowledgements += acknowledgements;
        self.forget_runs().await
    }

    /// Removes the records of ended runs that have loaded objects, if none of those is left in the
    /// ledger. A later run would conclude from them that the ledger has lost its rows.
    async fn forget_runs(&mut self) -> Result<()> {
        if !self.has("runs") || !self.has("objects") {
            return Ok(());
        }
        let sql = format!(
            "DELETE FROM {runs} \
             WHERE target = {target} AND ended_at IS NOT NULL AND objects_loaded > 0 AND NOT \
             EXISTS (SELECT 1 FROM {objects} AS objects WHERE objects.target = {target} AND \
             objects.generation = {runs}.generation)",
            runs = self.tables.runs,
            objects = self.tables.objects,
            target = self.target.literal(),
        );
        self.change(&sql).await.map(|_| ())
    }

    /// Removes the first rows from this key on. Returns the last key of the batch, or `None` when
    /// no rows are left.
    async fn forget_objects(
        &mut self,
        uri: &SourceUri,
        generation: u32,
        from: Option<&[u8]>,
        removed: &mut Removed,
    ) -> Result<Option<Vec<u8>>> {
        let (table, of_target) = (self.tables.objects.clone(), self.in_generation(generation));
        // A read without a lock sees only committed rows. Their full keys then make the locking
        // read lock these rows alone.
        let sql = format!(
            "SELECT object_key, etag \
             FROM {table} \
             WHERE {of_target} AND {} \
             ORDER BY object_key, etag LIMIT {BATCH}",
            keys(uri, from)
        );
        let mut chosen = Vec::with_capacity(BATCH);
        for mut fields in self.rows(&sql).await? {
            chosen.push((fields.take::<Vec<u8>>("object_key")?, fields.take::<Vec<u8>>("etag")?));
        }
        let Some((last, _)) = chosen.last().cloned() else { return Ok(None) };
        let rows: Vec<String> = chosen
            .iter()
            .map(|(key, etag)| {
                format!("(object_key = {} AND etag = {})", bytes_literal(key), bytes_literal(etag))
            })
            .collect();
        let condition = format!(
            "{of_target} AND bucket = {} AND ({})",
            bytes_literal(uri.bucket().as_bytes()),
            rows.join(" OR ")
        );

        self.change("START TRANSACTION").await?;
        let sql = format!(
            "SELECT object_key, etag, row_count, size_bytes, state \
             FROM {table} \
             WHERE {condition} \
             FOR UPDATE"
        );
        let mut partial = Vec::new();
        let mut batch = Forgotten::default();
        let mut ids = Vec::new();
        for mut fields in self.rows(&sql).await? {
            batch.objects += 1;
            batch.rows += fields.take::<u64>("row_count")?;
            batch.bytes += fields.take::<u64>("size_bytes")?;
            let (key, etag) = (fields.text("object_key")?, fields.text("etag")?);
            let id = object_id(&self.target, generation, uri.bucket(), &key, &etag);
            ids.push(format!("X'{id}'"));
            if fields.text("state")? == "partial" {
                partial.push(id);
            }
        }
        batch.rows += self.rows_of_parts(&partial).await?;
        self.change(&format!("DELETE FROM {table} WHERE {condition}")).await?;
        // A part's transaction locks its object's row, which is gone now, so no part can commit
        // after this.
        if self.has("parts") && !ids.is_empty() {
            let sql = format!(
                "DELETE FROM {} WHERE object_id IN ({})",
                self.tables.parts,
                ids.join(", ")
            );
            self.change(&sql).await?;
        }
        // In the same transaction: if only the rows went, the ledger would look as if it had lost
        // them.
        self.forget_runs().await?;
        self.commit(batch, removed).await?;
        Ok(Some(last))
    }

    /// Returns the number of rows that parts of these objects have put into the table.
    async fn rows_of_parts(&mut self, object_ids: &[String]) -> Result<u64> {
        let mut rows = 0;
        if !self.has("parts") {
            return Ok(rows);
        }
        for ids in object_ids.chunks(BATCH) {
            let literals: Vec<String> = ids.iter().map(|id| format!("X'{id}'")).collect();
            let sql = format!(
                "SELECT COALESCE(SUM(row_count), 0) AS row_count \
                 FROM {} \
                 WHERE object_id IN ({}) AND loaded_at IS NOT NULL",
                self.tables.parts,
                literals.join(", ")
            );
            if let Some(mut fields) = self.rows(&sql).await?.pop() {
                rows += fields.take::<u64>("row_count")?;
            }
        }
        Ok(rows)
    }

    /// Removes some of the failures. Returns false if none were left.
    async fn forget_failures(
        &mut self,
        uri: &SourceUri,
        generation: u32,
        removed: &mut Removed,
    ) -> Result<bool> {
        let (table, of_target) = (self.tables.failures.clone(), self.in_generation(generation));
        self.change("START TRANSACTION").await?;
        // Skips locked failures: a load is clearing or rewriting them.
        let sql = format!(
            "SELECT object_key \
             FROM {table} \
             WHERE {of_target} AND {} \
             ORDER BY object_key LIMIT {BATCH} \
             FOR UPDATE SKIP LOCKED",
            keys(uri, None)
        );
        let mut chosen = Vec::new();
        for mut fields in self.rows(&sql).await? {
            chosen.push(bytes_literal(&fields.take::<Vec<u8>>("object_key")?));
        }
        let mut failures = 0;
        if !chosen.is_empty() {
            failures = self
                .change(&format!(
                    "DELETE FROM {table} WHERE {of_target} AND bucket = {} AND object_key IN ({})",
                    bytes_literal(uri.bucket().as_bytes()),
                    chosen.join(", ")
                ))
                .await?;
        }
        self.commit(Forgotten { failures, ..Forgotten::default() }, removed).await?;
        Ok(!chosen.is_empty())
    }

    async fn commit(&mut self, batch: Forgotten, removed: &mut Removed) -> Result<()> {
        let committed = self.change("COMMIT").await;
        let sums = if committed.is_ok() { &mut removed.sums } else { &mut removed.unanswered };
        sums.objects += batch.objects;
        sums.rows += batch.rows;
        sums.bytes += batch.bytes;
        sums.failures += batch.failures;
        committed.map(|_| ())
    }

    /// Returns the generations for which a table has rows of this target.
    async fn generations(&mut self, suffix: &'static str) -> Result<Vec<u32>> {
        if !self.has(suffix) {
            return Ok(Vec::new());
        }
        let table = if suffix == "objects" { &self.tables.objects } else { &self.tables.failures };
        let sql = format!(
            "SELECT DISTINCT generation FROM {table} WHERE target = {}",
            self.target.literal()
        );
        self.rows(&sql).await?.into_iter().map(|mut fields| fields.take("generation")).collect()
    }

    fn in_generation(&self, generation: u32) -> String {
        format!("target = {} AND generation = {generation}", self.target.literal())
    }
}

/// Returns the condition for what the URI names, from this key on. It is a range of bytes, because
/// `%` and `_` would be wildcards in a pattern.
pub(super) fn keys(uri: &SourceUri, from: Option<&[u8]>) -> String {
    let bucket = bytes_literal(uri.bucket().as_bytes());
    match uri {
        SourceUri::Key { key, .. } => {
            format!("bucket = {bucket} AND object_key = {}", bytes_literal(key.as_bytes()))
        }
        SourceUri::Prefix { prefix, .. } => {
            let first = bytes_literal(from.unwrap_or(prefix.as_bytes()));
            let end = match end_of_prefix(prefix.as_bytes()) {
                Some(end) => format!(" AND object_key < {}", bytes_literal(&end)),
                None => String::new(),
            };
            format!("bucket = {bucket} AND object_key >= {first}{end}")
        }
    }
}

/// Returns the smallest text that is greater than every text with this prefix, or `None` if there
/// is no such text.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_prefixs_range_holds_what_begins_with_it_and_nothing_else(
            prefix in proptest::collection::vec(
                prop_oneof![Just(0xff), Just(0), Just(b'a'), any::<u8>()],
                0..4,
            ),
            key in proptest::collection::vec(
                prop_oneof![Just(0xff), Just(0), Just(b'a'), any::<u8>()],
                0..6,
            ),
        ) {
            let is_in = key >= prefix && end_of_prefix(&prefix).is_none_or(|end| key < end);
            prop_assert_eq!(is_in, key.starts_with(&prefix));
        }
    }

    #[test]
    fn an_exact_key_is_that_key_alone() {
        let uri = SourceUri::Key { bucket: "b".into(), key: "a'%".into() };
        assert_eq!(keys(&uri, None), "bucket = X'62' AND object_key = X'612725'");
    }
}
