//! The account's privileges, from the text of SHOW GRANTS.
//!
//! On MySQL the text includes the privileges of active roles, which `information_schema` does not.
//! Names must be in backticks: the session's `sql_mode` must not hold `ANSI_QUOTES`.

use super::create_table::outside_quotes;
use crate::sql_text::quoted_identifier;

/// The scope of a grant that can give a privilege on a table.
#[derive(Debug)]
enum GrantScope {
    Global,
    /// A database's name, or a pattern with `%` and `_`.
    Database(String),
    Table(String, String),
}

/// Returns true if one of the lines gives `privilege` on the table.
pub(super) fn give(lines: &[String], privilege: &str, database: &str, table: &str) -> bool {
    let said = |verb: &str| -> Vec<GrantScope> {
        lines.iter().filter_map(|line| scope(line.strip_prefix(verb)?, privilege)).collect()
    };
    // Of several database grants that match, only the most exact one counts.
    let is_exact = |line: &String| matches!(of_database(line), Some(name) if name == database);
    let has_exact = lines.iter().any(is_exact);
    let is_revoked = said("REVOKE ")
        .iter()
        .any(|scope| matches!(scope, GrantScope::Database(name) if name == database));
    said("GRANT ").iter().any(|scope| match scope {
        GrantScope::Global => !is_revoked,
        GrantScope::Database(pattern) if has_exact => pattern == database,
        GrantScope::Database(pattern) => matches(pattern.as_bytes(), database.as_bytes()),
        GrantScope::Table(of, name) => of == database && name == table,
    })
}

/// Returns the scope of the rest of a line, `SELECT, TRIGGER ON db.* TO ...`, if `privilege` is
/// among its privileges.
fn scope(rest: &str, privilege: &str) -> Option<GrantScope> {
    let (privileges, rest) = at_on(rest)?;
    let is_there = privileges.split(", ").any(|word| word == privilege)
        || privileges == "ALL PRIVILEGES"
        || privileges == "ALL";
    if !is_there {
        return None;
    }
    if rest.starts_with("*.*") {
        return Some(GrantScope::Global);
    }
    let (database, rest) = quoted_identifier(rest)?;
    let rest = rest.strip_prefix('.')?;
    if rest.starts_with('*') {
        return Some(GrantScope::Database(database));
    }
    quoted_identifier(rest).map(|(table, _)| GrantScope::Table(database, table))
}

/// Returns the database of a line that grants privileges on a whole database.
fn of_database(line: &str) -> Option<String> {
    let (_, rest) = at_on(line.strip_prefix("GRANT ")?)?;
    let (database, rest) = quoted_identifier(rest)?;
    rest.starts_with(".*").then_some(database)
}

/// Cuts a line at the word ON outside of names.
fn at_on(line: &str) -> Option<(&str, &str)> {
    let is_on = |(at, _): &(usize, u8)| line[*at..].starts_with(" ON ");
    let (at, _) = outside_quotes(line).filter(|(_, byte)| *byte == b' ').find(is_on)?;
    Some((&line[..at], &line[at + 4..]))
}

/// Returns true if the name matches the pattern, as LIKE does.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'%', rest @ ..], _) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        ([b'\\', escaped, rest @ ..], [first, after @ ..]) => {
            escaped == first && matches(rest, after)
        }
        ([b'_', rest @ ..], [_, after @ ..]) => matches(rest, after),
        ([same, rest @ ..], [first, after @ ..]) => same == first && matches(rest, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sees(lines: &[&str]) -> bool {
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        give(&lines, "TRIGGER", "my_shop", "orders")
    }

    #[test]
    fn a_privilege_counts_at_every_level() {
        for line in [
            "GRANT SELECT, TRIGGER, DROP ON *.* TO `l`@`%` WITH GRANT OPTION",
            "GRANT ALL PRIVILEGES ON `my_shop`.* TO `l`@`%`",
            "GRANT TRIGGER ON `my\\_shop`.* TO `l`@`%`",
            "GRANT TRIGGER ON `my%`.* TO `l`@`%`",
            "GRANT TRIGGER ON `my_s_op`.* TO `l`@`%`",
            "GRANT SELECT (`a`, `b ON c`), TRIGGER ON `my_shop`.`orders` TO `l`@`%`",
        ] {
            assert!(sees(&[line]), "{line}");
        }
        for line in [
            "GRANT USAGE ON *.* TO `l`@`%`",
            "GRANT SELECT, DROP ON `my_shop`.* TO `l`@`%`",
            "GRANT TRIGGER ON `other`.* TO `l`@`%`",
            "GRANT TRIGGER ON `my\\_sho`.* TO `l`@`%`",
            "GRANT TRIGGER ON `my_shop`.`order` TO `l`@`%`",
            "GRANT SELECT (`TRIGGER`, ` TRIGGER, `) ON `my_shop`.`orders` TO `l`@`%`",
            "GRANT `TRIGGER`@`%` TO `l`@`%`",
            "GRANT EXECUTE ON PROCEDURE `my_shop`.`TRIGGER` TO `l`@`%`",
            "",
        ] {
            assert!(!sees(&[line]), "{line}");
        }
    }

    #[test]
    fn what_is_revoked_or_covered_by_a_more_exact_grant_does_not_count() {
        let global = "GRANT TRIGGER ON *.* TO `l`@`%`";
        assert!(!sees(&[global, "REVOKE TRIGGER ON `my_shop`.* FROM `l`@`%`"]));
        assert!(sees(&[global, "REVOKE TRIGGER ON `other`.* FROM `l`@`%`"]));
        assert!(sees(&[global, "REVOKE SELECT ON `my_shop`.* FROM `l`@`%`"]));
        let pattern = "GRANT TRIGGER ON `my%`.* TO `l`@`%`";
        assert!(!sees(&[pattern, "GRANT SELECT ON `my_shop`.* TO `l`@`%`"]));
    }
}
