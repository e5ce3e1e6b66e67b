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

use crate::error::{Error, ErrorKind, Result};
use crate::isolate::{define, unavailable, unlike};
use crate::ledger::Target;
use crate::load_data::same_name;
use crate::mysql::{Conn, Phase, Session, classify};
use crate::object::{TableName, quote_identifier};

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
    /// otherwise those of the connection.
    pub async fn prepare(session: &mut Session, target: &Target) -> Result<Self> {
        let conn = &mut session.conn;
        let what = format!("table {}", target.name());
        let failed = |error: mysql_async::Error| classify(Phase::Connect, &what, &error);
        let row: Option<Row> = conn
            .query_first(format!("SHOW CREATE TABLE {}", target.name()))
            .await
            .map_err(|error| {
                let hint = "a check loads into a private copy of the table: on a view the account \
                            needs the privileges SELECT and SHOW VIEW for it";
                failed(error).as_kind(ErrorKind::TargetRefused).with_hint(hint)
            })?;
        let text: Option<String> = row.as_ref().and_then(|row| row.get_opt(1)?.ok());
        let is_view = row.as_ref().is_some_and(|row| {
            row.columns_ref().first().is_some_and(|column| column.name_str() == "View")
        });
        let (definition, is_partitioned) = if is_view {
            (format!(" ENGINE=InnoDB SELECT * FROM {} LIMIT 0", target.name()), false)
        } else {
            text.as_deref().and_then(|text| definition(text, &target.table)).ok_or_else(|| {
                let message = format!("{what}: the server's SHOW CREATE TABLE cannot be parsed");
                Error::new(ErrorKind::TargetRefused, message)
            })?
        };

        let taken: Vec<String> = conn
            .exec(
                "SELECT TABLE_NAME FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA = ? AND LEFT(TABLE_NAME, 17) = ?",
                (&target.database, NAME),
            )
            .await
            .map_err(failed)?;
        let name = unlike(NAME, |name| taken.iter().any(|taken| same_name(taken, name)));
        let place = (&target.database, &target.table);
        let foreign_keys: Vec<String> = conn
            .exec(
                "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS \
                 WHERE CONSTRAINT_TYPE = 'FOREIGN KEY' \
                 AND TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY 1",
                place,
            )
            .await
            .map_err(failed)?;
        let triggers: Vec<String> = conn
            .exec(
                "SELECT CONCAT(TRIGGER_NAME, ' (', ACTION_TIMING, ' ', EVENT_MANIPULATION, ')') \
                 FROM information_schema.TRIGGERS \
                 WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? ORDER BY 1",
                place,
            )
            .await
            .map_err(failed)?;
        let table = Self {
            target: target.name(),
            table: TableName { database: Some(target.database.clone()), table: name },
            definition,
            not_checked: not_checked(&foreign_keys, &triggers, is_partitioned, is_view),
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
        define(conn, &sql).await.map_err(|error| {
            let database = self.table.database.as_deref().map(quote_identifier).unwrap_or_default();
            unavailable(self.failed(&error)).with_hint(format!(
                "a check loads into a private copy of the table: an administrator must GRANT \
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
        classify(Phase::Transaction, &format!("the private copy of table {}", self.target), error)
    }
}

/// Returns the part after the name in a CREATE TEMPORARY TABLE for the table that `text` defines,
/// and if that table is partitioned.
fn definition(text: &str, name: &str) -> Option<(String, bool)> {
    let text = text
        .strip_prefix("CREATE TABLE ")?
        .strip_prefix(&quote_identifier(name))?
        .strip_prefix(" (\n")?;
    // The server escapes line breaks in comments and values.
    let (body, options) = text.rsplit_once("\n) ENGINE=")?;
    let (options, partitions) =
        options.split_once('\n').map_or((options, ""), |(options, rest)| (options, rest));
    let declared: Vec<&str> = body.split(",\n").filter(|declared| is_for_rows(declared)).collect();
    let options = options.split(" COMMENT=").next()?;
    let kept: Vec<&str> = options
        .split(' ')
        .filter(|option| {
            ["AUTO_INCREMENT=", "CHARSET=", "COLLATE="]
                .iter()
                .any(|known| option.starts_with(known))
        })
        .collect();
    let definition = format!(" (\n{}\n) ENGINE=InnoDB {}", declared.join(",\n"), kept.join(" "));
    Some((definition, partitions.contains("PARTITION BY")))
}

/// Returns true for columns, keys and CHECKs. FULLTEXT, SPATIAL and other keys refuse no row, and
/// temporary tables cannot have all of them. Foreign keys are left out too.
fn is_for_rows(declared: &str) -> bool {
    let declared = declared.trim_start();
    let is_foreign_key = declared.strip_prefix("CONSTRAINT `").and_then(|named| {
        named.replace("``", "").split_once('`').map(|(_, what)| what.starts_with(" FOREIGN KEY"))
    });
    ["`", "PRIMARY KEY", "UNIQUE KEY", "KEY", "CONSTRAINT"]
        .iter()
        .any(|known| declared.starts_with(known))
        && is_foreign_key != Some(true)
}

fn not_checked(
    foreign_keys: &[String],
    triggers: &[String],
    is_partitioned: bool,
    is_view: bool,
) -> Vec<String> {
    let mut not_checked = Vec::new();
    if !foreign_keys.is_empty() {
        not_checked
            .push(format!("rows without a parent row: foreign keys {}", foreign_keys.join(", ")));
    }
    not_checked.push(if triggers.is_empty() {
        "triggers: the account can see none".to_owned()
    } else {
        format!("what triggers refuse or change: {}", triggers.join(", "))
    });
    if is_partitioned {
        not_checked.push("rows that belong to no partition".to_owned());
    }
    if is_view {
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
        assert_eq!(definition(text, "t`x"), Some((expected.to_owned(), false)));
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
            let expected = " (\n  `id` int\n) ENGINE=InnoDB CHARSET=latin1".to_owned();
            assert_eq!(definition(&text, "t"), Some((expected, true)));
        }
        assert_eq!(definition("CREATE ALGORITHM=UNDEFINED VIEW `t` AS select 1", "t"), None);
    }
}
