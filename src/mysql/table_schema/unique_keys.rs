//! The unique keys of a table.

use super::{TableSchema, optional_text, text};
use crate::mysql::Conn;
use crate::sql_text::text_literal;

/// A PRIMARY or UNIQUE key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UniqueKey {
    pub(crate) name: String,
    /// The columns in the key's order; `None` if a part is an expression or a prefix of a column.
    pub(crate) columns: Option<Vec<String>>,
}

impl TableSchema {
    /// Reads the unique keys of the table from the server.
    ///
    /// # Errors
    /// The errors of the driver.
    pub(crate) async fn unique_keys(&self, conn: &mut Conn) -> mysql_async::Result<Vec<UniqueKey>> {
        let query = format!(
            "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART \
             FROM information_schema.STATISTICS \
             WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA = {} AND TABLE_NAME = {} \
             ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            text_literal(&self.database),
            text_literal(&self.table)
        );
        let mut keys: Vec<UniqueKey> = Vec::new();
        for row in conn.query_sets(&query).await?.next_rows_of(3)? {
            let name = text(&row, 0);
            let column = optional_text(&row, 1).filter(|_| optional_text(&row, 2).is_none());
            match keys.last_mut().filter(|key| key.name == name) {
                Some(key) => {
                    let columns = key.columns.take().zip(column);
                    key.columns = columns.map(|(columns, column)| [columns, vec![column]].concat());
                }
                None => keys.push(UniqueKey { name, columns: column.map(|column| vec![column]) }),
            }
        }
        Ok(keys)
    }
}
