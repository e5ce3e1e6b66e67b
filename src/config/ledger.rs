//! Resolves the settings of the ledger.

use crate::ledger::LedgerConfig;
use crate::policy::OnChanged;
use crate::settings::{Origin, Problem, Resolver, table as s};
use crate::sql_text::{TableName, TableNameError};

/// The maximum number of characters in the stem of a ledger. The longest name made of it,
/// `STEM_shadow_` and 16 digits, then stays within the servers' limit of 64.
const STEM_LIMIT_CHARS: usize = 40;

pub(super) fn resolve(resolver: &mut Resolver) -> LedgerConfig {
    let table = ledger_table(resolver);
    LedgerConfig {
        table,
        on_changed: resolver.choice(&s::ON_CHANGED).unwrap_or(OnChanged::Error),
        force: resolver.switch(&s::FORCE),
        retry_failed: !resolver.switch(&s::NO_RETRY_FAILED),
    }
}

/// Returns the name of the ledger, or `None` for no ledger, as the stronger place decides.
fn ledger_table(resolver: &mut Resolver) -> Option<TableName> {
    let named = resolver.find(&s::LEDGER_TABLE);
    let without = resolver.find(&s::NO_LEDGER);
    let is_named_stronger = match (&named, &without) {
        (Some((named, _)), Some((without, _))) => named < without,
        _ => false,
    };
    if is_named_stronger {
        resolver.record_derived(&s::NO_LEDGER, "false", Origin::Default);
    } else if resolver.switch(&s::NO_LEDGER) {
        if let (Some((named, given)), Some((without, _))) = (&named, &without)
            && named == without
        {
            resolver.problems.push(Problem::new(
                "ledger-table names the ledger that no-ledger switches off",
                &given.origin,
                "set one of them",
            ));
        }
        // Reading it back would contradict no-ledger.
        resolver.record_unset(&s::LEDGER_TABLE, Origin::Default);
        return None;
    }
    let table = resolver.optional(&s::LEDGER_TABLE, |text| {
        let name: TableName = text.parse().map_err(|error: TableNameError| error.to_string())?;
        let length_chars = name.table.chars().count();
        if length_chars > STEM_LIMIT_CHARS {
            return Err(format!(
                "the name has {length_chars} characters; at most {STEM_LIMIT_CHARS} leave room \
                 for the suffixes of the table names"
            ));
        }
        Ok(name)
    });
    // An invalid name does not mean that there is no ledger.
    Some(table.unwrap_or(TableName { database: None, table: String::new() }))
}
