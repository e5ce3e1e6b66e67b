//! The target clone: a TEMPORARY table that takes and refuses rows like the target, as far as
//! possible.
//!
//! It has the target's columns with their defaults, generated columns, CHECKs, PRIMARY and UNIQUE
//! keys and next `AUTO_INCREMENT` value. It is built from the text of SHOW CREATE TABLE. CREATE
//! TABLE ... LIKE cannot make a temporary copy of a table that is partitioned or has a FULLTEXT
//! key, and would keep an engine that does not roll back. For a view only the columns are known.
//!
//! [`TargetClone::not_checked`] lists what such a table cannot have.

use mysql_async::Row;

use super::set_nulls::SetNulls;
use crate::error::{Error, ErrorKind, Result};
use crate::isolate::{define, ensure_one_statement, unavailable, unlike};
use crate::mysql::{
    Conn, CreateTable, Definition, DefinitionKind, Phase, Session, TableSchema, classify,
    table_names,
};
use crate::sql_text::{TableName, quote_identifier, same_name};

/// The beginning of its name.
const NAME: &str = "s3_to_mysql_check";

/// The definition of a target clone, and what it lacks. It needs the CREATE TEMPORARY TABLES
/// privilege on the target's database; for a view also SELECT and SHOW VIEW on it.
#[derive(Clone, Debug)]
pub struct TargetClone {
    pub(crate) target: TableName,
    pub(crate) table: TableName,
    /// The rest of CREATE TEMPORARY TABLE after the name.
    definition: String,
    not_checked: Vec<String>,
}

impl TargetClone {
    /// Reads the target's definition from the server, and creates a clone once to prove that it
    /// works.
    ///
    /// # Errors
    /// `TargetRefused` if the account lacks a privilege or the server cannot create the clone;
    /// otherwise the errors of the connection.
    pub async fn prepare(
        session: &mut Session,
        schema: &TableSchema,
        set_nulls: &SetNulls,
    ) -> Result<Self> {
        let conn = &mut session.conn;
        let target = schema.name();
        let what = format!("table {target}");
        let failed = |error: mysql_async::Error| classify(Phase::Connect, &what, &error);
        let row: Option<Row> =
            conn.query_first(format!("SHOW CREATE TABLE {target}")).await.map_err(|error| {
                let hint = "a check loads into a temporary copy of the table: on a view the \
                            account needs the privileges SELECT and SHOW VIEW for it";
                failed(error).as_kind(ErrorKind::TargetRefused).with_hint(hint)
            })?;
        let text: Option<String> = row.as_ref().and_then(|row| row.get_opt(1)?.ok());
        let (definition, is_partitioned) = if schema.is_view() {
            let more: Vec<String> = set_nulls.definitions().collect();
            let more =
                if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
            (format!("{more} ENGINE=InnoDB SELECT * FROM {target} LIMIT 0"), false)
        } else {
            let shown = text.as_deref().and_then(CreateTable::parse).ok_or_else(|| {
                let message = format!("{what}: the server's SHOW CREATE TABLE cannot be parsed");
                Error::new(ErrorKind::TargetRefused, message)
            })?;
            (definition(&shown, set_nulls.definitions()), shown.is_partitioned())
        };
        let taken = table_names(conn, &schema.database, NAME).await.map_err(failed)?;
        let name = unlike(NAME, |name| taken.iter().any(|taken| same_name(taken, name)));
        let table = Self {
            target,
            table: TableName { database: Some(schema.database.clone()), table: name },
            definition,
            not_checked: not_checked(schema, is_partitioned),
        };
        table.create(conn).await?;
        table.drop(conn).await?;
        Ok(table)
    }

    /// Returns the problems that rows may have in the target, but not in the clone, one line each.
    #[must_use]
    pub fn not_checked(&self) -> &[String] {
        &self.not_checked
    }

    /// Creates the empty table. Drops an older one first.
    pub(crate) async fn create(&self, conn: &mut Conn) -> Result<()> {
        self.drop(conn).await?;
        let sql = format!("CREATE TEMPORARY TABLE {}{}", self.table, self.definition);
        ensure_one_statement(&self.target, &sql)?;
        define(conn, &sql).await.map_err(|error| {
            let database = self.table.database.as_deref().map(quote_identifier).unwrap_or_default();
            unavailable(self.failed(&error)).with_hint(format!(
                "a check loads into a temporary copy of the table: an administrator must GRANT \
                 CREATE TEMPORARY TABLES ON {database}.* to the account"
            ))
        })
    }

    pub(crate) async fn drop(&self, conn: &mut Conn) -> Result<()> {
        conn.query_drop(format!("DROP TEMPORARY TABLE IF EXISTS {}", self.table))
            .await
            .map_err(|error| self.failed(&error))
    }

    /// Rewrites what the server says about the clone so that it names the target.
    pub(crate) fn renamed(&self, said: &str) -> String {
        let (table, target) = (&self.table.table, &self.target.table);
        said.replace(&format!("'{table}."), &format!("'{target}.")).replace(
            &format!(".{}", quote_identifier(table)),
            &format!(".{}", quote_identifier(target)),
        )
    }

    fn failed(&self, error: &mysql_async::Error) -> Error {
        classify(Phase::Transaction, &format!("the temporary copy of table {}", self.target), error)
    }
}

/// Returns the part after the name in a CREATE TEMPORARY TABLE for this table, with more columns.
fn definition(shown: &CreateTable, more: impl Iterator<Item = String>) -> String {
    let declared = shown
        .definitions
        .iter()
        .filter(|definition| is_for_rows(definition))
        .map(|definition| definition.text.clone());
    let declared: Vec<String> =
        declared.chain(more).map(|definition| format!("  {definition}")).collect();
    let options = shown.options.split(" COMMENT=").next().unwrap_or_default();
    let kept: Vec<&str> = options
        .split(' ')
        .filter(|option| {
            let is_word = |value: &str| {
                value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            ["AUTO_INCREMENT=", "CHARSET=", "COLLATE="]
                .iter()
                .any(|known| option.strip_prefix(known).is_some_and(is_word))
        })
        .collect();
    format!(" (\n{}\n) ENGINE=InnoDB {}", declared.join(",\n"), kept.join(" "))
}

/// Returns true for columns, keys and CHECKs. FULLTEXT, SPATIAL and other keys refuse no row, and
/// temporary tables cannot have all of them. Foreign keys are left out too.
fn is_for_rows(definition: &Definition) -> bool {
    match definition.kind {
        DefinitionKind::Index => definition.text.starts_with("KEY"),
        DefinitionKind::ForeignKey | DefinitionKind::Other => false,
        _ => true,
    }
}

fn not_checked(schema: &TableSchema, is_partitioned: bool) -> Vec<String> {
    let mut not_checked = Vec::new();
    if !schema.foreign_keys.is_empty() {
        not_checked.push(format!(
            "rows without a parent row: foreign keys {}",
            schema.foreign_keys.join(", ")
        ));
    }
    let triggers: Vec<String> = schema
        .triggers
        .iter()
        .map(|trigger| format!("{} ({} {})", trigger.name, trigger.timing, trigger.event))
        .collect();
    not_checked.push(if triggers.is_empty() {
        "triggers: the account can see none".to_owned()
    } else {
        format!("what triggers refuse or change: {}", triggers.join(", "))
    });
    if is_partitioned {
        not_checked.push("rows that belong to no partition".to_owned());
    }
    if schema.is_view() {
        not_checked.push(
            "everything except the columns' types: the target is a view, and its CHECK OPTION and \
             the keys, CHECKs, foreign keys and AUTO_INCREMENT of its tables are not known"
                .to_owned(),
        );
    }
    not_checked.push("duplicates of rows in the table or in other objects".to_owned());
    not_checked.push(
        "the ledger: objects that are loaded already, or have changed since, are checked like \
         the rest"
            .to_owned(),
    );
    not_checked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refuses_rows_is_kept_of_a_definition() {
        let text = "CREATE TABLE `t``x` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  \
                    `s` enum('a,','b') COMMENT 'it''s\\n) ENGINE=',\n  \
                    `c` int GENERATED ALWAYS AS (`id` * 2) STORED,\n  PRIMARY KEY (`id`),\n  \
                    UNIQUE KEY `s` (`s`),\n  KEY `c` (`c`),\n  \
                    FULLTEXT KEY `f` (`s`),\n  SPATIAL KEY `g` (`g`),\n  \
                    CONSTRAINT `a `` FOREIGN KEY` CHECK (`c` <> 7),\n  \
                    CONSTRAINT `t_ibfk_1` FOREIGN KEY (`c`) REFERENCES `p` (`number`)\n\
                    ) ENGINE=MyISAM AUTO_INCREMENT=77 DEFAULT \
                    CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=COMPRESSED \
                    COMMENT='x CHARSET=latin1'";
        let expected = " (\n  `id` int NOT NULL AUTO_INCREMENT,\n  \
                        `s` enum('a,','b') COMMENT 'it''s\\n) ENGINE=',\n  \
                        `c` int GENERATED ALWAYS AS (`id` * 2) STORED,\n  \
                        PRIMARY KEY (`id`),\n  UNIQUE KEY `s` (`s`),\n  KEY `c` (`c`),\n  \
                        CONSTRAINT `a `` FOREIGN KEY` CHECK (`c` <> 7)\n\
                        ) ENGINE=InnoDB AUTO_INCREMENT=77 CHARSET=utf8mb4 \
                        COLLATE=utf8mb4_bin";
        let shown = CreateTable::parse(text).unwrap();
        assert_eq!(definition(&shown, std::iter::empty()), expected);
        assert!(!shown.is_partitioned());
    }

    #[test]
    fn partitions_are_left_out_and_told() {
        for partitions in [
            "/*!50100 PARTITION BY HASH (`id`)\nPARTITIONS 2 */",
            " PARTITION BY HASH (`id`)\nPARTITIONS 2",
        ] {
            let text = format!(
                "CREATE TABLE `t` (\n  `id` int\n) ENGINE=InnoDB DEFAULT \
                 CHARSET=latin1\n{partitions}"
            );
            let shown = CreateTable::parse(&text).unwrap();
            assert_eq!(
                definition(&shown, std::iter::empty()),
                " (\n  `id` int\n) ENGINE=InnoDB CHARSET=latin1"
            );
            assert!(shown.is_partitioned());
        }
    }
}
