//! The session variables that every connection pins, so that a statement means and stores the same
//! whatever the server's defaults and its `init_connect` are.
//!
//! The list was made from all session variables of MySQL 9.7 and MariaDB 10.11. A variable is
//! pinned if another value would change which rows or answers a statement gives, the text that the
//! program reads, what is stored, or which errors and warnings there are. Limits on the time of a
//! statement are pinned too, because a load may take as long as it works.
//!
//! These are left to the server on purpose. `LEFT` in `tests/it/worst_variables.rs` has a bad value
//! of each that could be thought to matter, and a test shows that it does not:
//!
//! - Variables that are the administrator's policy and change no row: everything about replication
//!   and the binary log (`sql_log_bin`, `binlog_*`, `gtid_*`, `wsrep_*`,
//!   `group_replication_consistency`, `innodb_snapshot_isolation`), `auto_increment_increment` and
//!   `auto_increment_offset`, limits of memory, and stop words of full-text indexes. So are those
//!   that say how a table is kept (`default_table_encryption`, `innodb_compression_default`,
//!   `innodb_default_encryption_key_id`, `column_compression_*`).
//! - `enable_cascade_triggers`: it decides if a row that a foreign key deletes or changes runs the
//!   triggers of its table. The rows of the tables are the same either way. Whoever keeps an audit
//!   by such triggers has turned it on, and whoever has not does not expect them to run.
//! - Variables that change only speed: buffers, `optimizer_*`, `max_seeks_for_key`, `big_tables`,
//!   `sql_buffer_result`, histograms, query cache, slow log and profiling; `old_alter_table`, which
//!   only names the algorithm; `low_priority_updates`, `keep_files_on_create` and the variables of
//!   `MyISAM` and Aria, which the tables that the program makes do not use.
//! - Variables that are read only by statements that the program never sends:
//!   `character_set_server`, `character_set_database`, `character_set_filesystem`, `select_into_*`,
//!   `xa_*`, `collation_server`, `collation_database`, `print_identified_with_as_hex`,
//!   `information_schema_stats_expiry`, `restrict_fk_on_non_standard_key`, `innodb_table_locks`,
//!   and `system_versioning_alter_history`, which is about changes of columns, not of indexes. An
//!   EXPLAIN names its format, so `explain_*` do not matter.
//! - Variables that need a privilege on every version and have no effect, or only one that is an
//!   error: `enforce_storage_engine`, `pseudo_*`, `original_*`, `require_row_format`.
//! - Variables that exist for one statement and then are gone: `insert_id`, `last_insert_id`,
//!   `rand_seed1`.

/// Ends what `init_connect` may have begun: a transaction, in which some variables cannot be set
/// and everything may be read-only, and locks on tables. Turning autocommit on again ends the
/// transaction whatever the `completion_type` is.
pub(super) const FRESH: &str =
    "SET SESSION autocommit = OFF, SESSION autocommit = ON; UNLOCK TABLES";

/// The variables that every supported server has. They are set before anything is read: even `SHOW
/// VARIABLES` is cut by `sql_select_limit`.
pub(super) const ALWAYS: &[(&str, &str)] = &[
    ("character_set_client", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    // Sets `character_set_connection` too. It is what the driver asks for at login.
    ("collation_connection", "utf8mb4_general_ci"),
    ("autocommit", "ON"),
    // A ROLLBACK must not open another transaction, nor end the session.
    ("completion_type", "NO_CHAIN"),
    // `init_connect` may have stopped the clock.
    ("timestamp", DEFAULT),
    ("sql_select_limit", "18446744073709551615"),
    ("sql_big_selects", "ON"),
    ("sql_safe_updates", "OFF"),
    ("sql_auto_is_null", "OFF"),
    ("sql_notes", "ON"),
    // The counts are parsed from a text that would be translated.
    ("lc_messages", "en_US"),
    ("unique_checks", "ON"),
    ("foreign_key_checks", "ON"),
];

/// The end of the first SET: the limits on the time of a statement, each in a comment that only the
/// servers execute which have the variable.
pub(super) const NO_TIME_LIMITS: &str = "/*!50708 , SESSION max_execution_time = 0 */\
     /*M!100101 , SESSION max_statement_time = 0 */";

/// The variables that are set if the server has them.
pub(super) const IF_PRESENT: &[(&str, &str)] = &[
    ("transaction_read_only", "OFF"),
    ("tx_read_only", "OFF"),
    // What constrains and what warns.
    ("check_constraint_checks", "ON"),
    ("note_verbosity", "basic"),
    ("sql_warnings", "OFF"),
    ("updatable_views_with_limit", "YES"),
    // The meaning of statements.
    ("character_set_collations", ""),
    ("sql_if_exists", "OFF"),
    ("alter_algorithm", "DEFAULT"),
    ("use_secondary_engine", "ON"),
    ("system_versioning_asof", DEFAULT),
    ("system_versioning_insert_history", "OFF"),
    ("wsrep_dirty_reads", "OFF"),
    ("default_storage_engine", "InnoDB"),
    ("default_tmp_storage_engine", "InnoDB"),
    // The meaning of expressions in --set.
    ("lc_time_names", "en_US"),
    ("default_week_format", "0"),
    ("default_regex_flags", ""),
    ("div_precision_increment", "4"),
    ("group_concat_max_len", "1048576"),
    ("block_encryption_mode", "aes-128-ecb"),
    ("windowing_use_high_precision", "ON"),
    ("standard_compliant_cte", "ON"),
    ("max_recursive_iterations", "1000"),
    ("cte_max_recursion_depth", "1000"),
    ("max_sort_length", "1024"),
    ("old_passwords", "OFF"),
    // The text that the program reads.
    ("sql_quote_show_create", "ON"),
    ("show_create_table_verbosity", "OFF"),
    ("show_gipk_in_create_table_and_information_schema", "ON"),
    ("show_create_table_skip_secondary_engine", "OFF"),
    ("session_track_schema", "ON"),
    ("session_track_gtids", "OFF"),
    ("session_track_state_change", "OFF"),
    ("session_track_transaction_info", "OFF"),
    ("session_track_system_variables", ""),
    // Limits that would end a statement which works. `wait_timeout` bounds an idle transaction.
    ("max_execution_time", "0"),
    ("max_statement_time", "0"),
    ("idle_transaction_timeout", "0"),
    ("idle_readonly_transaction_timeout", "0"),
    ("idle_write_transaction_timeout", "0"),
];

/// The variables that need a privilege on some versions. They are set where the session's value is
/// another one and the account may set it.
pub(super) const RESTRICTED: &[(&str, &str)] = &[
    // NULL into a TIMESTAMP NOT NULL column must be refused.
    ("explicit_defaults_for_timestamp", "ON"),
    ("default_collation_for_utf8mb4", "utf8mb4_0900_ai_ci"),
    ("innodb_strict_mode", "ON"),
    // The copies of tables that the program makes for itself have no keys.
    ("sql_require_primary_key", "OFF"),
    ("sql_generate_invisible_primary_key", "OFF"),
];

/// The keyword, where the value is not a constant.
const DEFAULT: &str = "=DEFAULT";

/// Returns the assignment of a variable, as SET takes it.
pub(super) fn assignment(name: &str, value: &str) -> String {
    match value.strip_prefix('=') {
        Some(expression) => format!("SESSION {name} = {expression}"),
        None if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("SESSION {name} = {value}")
        }
        None => format!("SESSION {name} = '{value}'"),
    }
}

/// Returns the one statement that makes these assignments.
pub(super) fn set<'a>(assignments: impl IntoIterator<Item = &'a String>) -> String {
    let assignments: Vec<&str> = assignments.into_iter().map(String::as_str).collect();
    format!("SET {}", assignments.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_bare_and_words_are_quoted() {
        assert_eq!(assignment("sql_select_limit", "18"), "SESSION sql_select_limit = 18");
        assert_eq!(assignment("sql_notes", "ON"), "SESSION sql_notes = 'ON'");
        assert_eq!(assignment("default_regex_flags", ""), "SESSION default_regex_flags = ''");
        assert_eq!(assignment("timestamp", DEFAULT), "SESSION timestamp = DEFAULT");
        assert_eq!(assignment("alter_algorithm", "DEFAULT"), "SESSION alter_algorithm = 'DEFAULT'");
    }

    #[test]
    fn a_variable_is_pinned_once() {
        let mut names: Vec<&str> =
            [ALWAYS, IF_PRESENT, RESTRICTED].concat().iter().map(|(name, _)| *name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
