//! The settings of loading: how rows are loaded, and what happens to rows that do not fit.

use super::format::column_names;
use super::readings;
use crate::load_data::LoadConfig;
use crate::policy::{Mode, OnBadRow, OnDuplicate, Verify};
use crate::rejects::RejectsTo;
use crate::settings::{Resolver, count, table as s};

pub(super) fn resolve(resolver: &mut Resolver) -> LoadConfig {
    LoadConfig {
        mode: resolver.choice(&s::MODE).unwrap_or(Mode::Append),
        swap_keep_old: resolver.switch(&s::SWAP_KEEP_OLD),
        load_concurrency: count(resolver.integer(&s::LOAD_CONCURRENCY)),
        defer_indexes: resolver.switch(&s::DEFER_INDEXES),
        on_bad_row: resolver.choice(&s::ON_BAD_ROW).unwrap_or(OnBadRow::Fail),
        on_duplicate: resolver.choice(&s::ON_DUPLICATE).unwrap_or(OnDuplicate::Error),
        update_columns: resolver.optional(&s::UPDATE_COLUMNS, column_names),
        notes_as_bad: resolver.switch(&s::NOTES_AS_BAD),
        show_bad_rows: count(resolver.integer(&s::SHOW_BAD_ROWS)),
        rejects: resolver.optional(&s::REJECTS, RejectsTo::parse),
        max_rejects: resolver.optional(&s::MAX_REJECTS, str::parse),
        max_rejects_total: resolver.optional(&s::MAX_REJECTS_TOTAL, |text| {
            text.trim().parse().map_err(|_| "it must be a whole number of rows")
        }),
        verify: resolver.choice(&s::VERIFY).unwrap_or(Verify::None),
        readings: readings::resolve(resolver),
    }
}
