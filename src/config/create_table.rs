//! The settings of a table that is to be created.

use super::format::column_names;
use crate::create_table::CreateTableConfig;
use crate::settings::{Problem, Resolver, table as s};

pub(super) fn resolve(resolver: &mut Resolver) -> Option<CreateTableConfig> {
    let creates = resolver.switch(&s::CREATE_TABLE);
    let primary_key = resolver.optional(&s::PRIMARY_KEY, column_names);
    if let (Some(_), false) = (&primary_key, creates) {
        resolver.problems.push(Problem {
            what: "primary-key is set, but create-table is not".to_owned(),
            origin: None,
            remedy: "add --create-table, or leave out --primary-key".to_owned(),
        });
    }
    creates.then(|| CreateTableConfig { primary_key: primary_key.unwrap_or_default() })
}
