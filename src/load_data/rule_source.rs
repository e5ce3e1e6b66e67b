//! Makes the rules for values from the definition of the table.

use std::sync::Arc;

use super::options::LoadConfig;
use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::mysql::{Flavor, TableSchema};
use crate::policy::OnBadRow;
use crate::sql_text::same_name;
use crate::values::{ColumnFacts, ColumnRule, RowRules, Server};

/// The facts that the rules for values depend on, whatever the columns of an object are.
#[derive(Clone, Debug)]
pub(super) struct RuleSource {
    schema: Arc<TableSchema>,
    format: FormatConfig,
    load: LoadConfig,
    server: Server,
    /// True if only the server knows what a time means, because a statement sets the time zone.
    leaves_timestamps: bool,
}

impl RuleSource {
    /// Creates the source for a table on this server. `sets_time_zone` is true if the user's own
    /// statements may set the time zone of the sessions.
    pub(super) fn new(
        schema: Arc<TableSchema>,
        format: FormatConfig,
        load: LoadConfig,
        flavor: Flavor,
        sets_time_zone: bool,
    ) -> Self {
        let server = match flavor {
            Flavor::Mariadb => Server::MariaDb,
            Flavor::Mysql => Server::MySql,
        };
        Self { schema, format, load, server, leaves_timestamps: sets_time_zone }
    }

    /// Returns the rules for rows whose fields are read into `columns`. The `partitions` of the key
    /// fill other columns.
    pub(super) fn rules(&self, columns: &[ColumnOrVariable], partitions: &[String]) -> RowRules {
        let LoadConfig { notes_as_bad, on_bad_row, .. } = self.load;
        let notes_as_bad = notes_as_bad && on_bad_row != OnBadRow::Accept;
        let names = self.schema.columns.iter().map(|column| column.name.as_str());
        let names = names.filter(|name| !partitions.iter().any(|it| same_name(it, name)));
        RowRules::new(columns, &self.format, notes_as_bad, |name| self.column(name))
            .with_triggers(!self.schema.triggers.is_empty())
            .with_table_columns(self.schema.name(), names)
    }

    /// Returns the rule of a column, or `None` if the table lacks it.
    pub(super) fn column(&self, name: &str) -> Option<ColumnRule> {
        let column = self.schema.column(name)?;
        let facts = ColumnFacts {
            name: &column.name,
            column_type: &column.column_type,
            charset: column.charset.as_deref(),
            collation: column.collation.as_deref(),
            // The trigger may replace a NULL.
            is_nullable: column.is_nullable || self.schema.has_before_insert_trigger(),
            is_auto_increment: column.is_auto_increment,
            is_generated: column.is_generated,
            is_json: column.is_json,
        };
        let rule = ColumnRule::new(&facts, self.server, &self.format.charset, &self.load.readings);
        let is_timestamp = column.data_type.eq_ignore_ascii_case("timestamp");
        let is_for_server = is_timestamp && self.leaves_timestamps;
        Some(if is_for_server { rule.leaving_values_to_server() } else { rule })
    }
}
