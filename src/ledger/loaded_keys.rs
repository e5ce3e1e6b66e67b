//! The keys of loaded objects, for the comparison with their source.

use super::admin::LedgerAdmin;
use super::forget::keys;
use crate::error::Result;
use crate::s3_uri::SourceUri;
use crate::sql_text::bytes_literal;

/// The number of keys in one answer.
const BATCH: usize = 1000;

impl LedgerAdmin {
    /// Returns the time of the server, as [`LedgerAdmin::loaded_keys`] takes it.
    ///
    /// # Errors
    /// Any error of the query. Do not use the connection after that.
    pub async fn now(&mut self) -> Result<String> {
        let sql = "SELECT CAST(UTC_TIMESTAMP(6) AS CHAR) AS server_time";
        match self.rows(sql).await?.pop() {
            Some(mut fields) => fields.text("server_time"),
            None => Ok(String::new()),
        }
    }

    /// Returns the next keys, after `after`, of objects that the table got before `before`. None is
    /// left if there are none.
    ///
    /// # Errors
    /// Any error of a query. Do not use the connection after that.
    pub async fn loaded_keys(
        &mut self,
        uri: &SourceUri,
        generation: u32,
        before: &str,
        after: Option<&str>,
    ) -> Result<Vec<String>> {
        if !self.has("objects") {
            return Ok(Vec::new());
        }
        let after = match after {
            Some(key) => format!("AND object_key > {}", bytes_literal(key.as_bytes())),
            None => String::new(),
        };
        let sql = format!(
            "SELECT DISTINCT object_key \
             FROM {} \
             WHERE target = {} AND generation = {generation} AND {} {after} \
             AND state = 'loaded' AND loaded_at < {} \
             ORDER BY object_key LIMIT {BATCH}",
            self.tables.objects,
            self.target.literal(),
            keys(uri, None),
            bytes_literal(before.as_bytes()),
        );
        self.rows(&sql).await?.into_iter().map(|mut fields| fields.text("object_key")).collect()
    }
}
