//! The worst value of each session variable that the program pins.

/// The worst values of the variables that an ordinary account may set. Those that a server does not
/// have are left out there.
pub(crate) const WORST: &[(&str, &str)] = &[
    ("autocommit", "0"),
    ("completion_type", "'CHAIN'"),
    (
        "sql_mode",
        "'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,IGNORE_SPACE,\
         HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION'",
    ),
    ("sql_select_limit", "1"),
    ("max_join_size", "1"),
    ("sql_big_selects", "0"),
    ("sql_safe_updates", "1"),
    ("sql_auto_is_null", "1"),
    ("sql_notes", "0"),
    ("sql_warnings", "1"),
    ("note_verbosity", "''"),
    ("lc_messages", "'de_DE'"),
    ("unique_checks", "0"),
    ("foreign_key_checks", "0"),
    ("check_constraint_checks", "0"),
    ("transaction_read_only", "1"),
    ("tx_read_only", "1"),
    ("transaction_isolation", "'SERIALIZABLE'"),
    ("tx_isolation", "'SERIALIZABLE'"),
    ("updatable_views_with_limit", "'NO'"),
    ("sql_if_exists", "1"),
    ("alter_algorithm", "'INSTANT'"),
    ("use_secondary_engine", "'FORCED'"),
    ("system_versioning_asof", "'2020-01-01 00:00:00'"),
    ("system_versioning_insert_history", "1"),
    ("default_storage_engine", "'MyISAM'"),
    ("default_tmp_storage_engine", "'MyISAM'"),
    ("lc_time_names", "'de_DE'"),
    ("default_week_format", "3"),
    ("default_regex_flags", "'EXTENDED'"),
    ("div_precision_increment", "0"),
    ("group_concat_max_len", "4"),
    ("block_encryption_mode", "'aes-256-cbc'"),
    ("windowing_use_high_precision", "0"),
    ("explicit_defaults_for_timestamp", "0"),
    ("sql_quote_show_create", "0"),
    ("show_create_table_verbosity", "1"),
    ("show_gipk_in_create_table_and_information_schema", "0"),
    ("session_track_state_change", "1"),
    ("session_track_transaction_info", "'CHARACTERISTICS'"),
    ("session_track_system_variables", "'*'"),
    ("max_execution_time", "1"),
    ("max_statement_time", "0.0001"),
    ("idle_transaction_timeout", "1"),
    ("idle_readonly_transaction_timeout", "1"),
    ("idle_write_transaction_timeout", "1"),
    ("net_read_timeout", "1"),
    ("net_write_timeout", "1"),
    ("wait_timeout", "1"),
    ("lock_wait_timeout", "1"),
    ("innodb_lock_wait_timeout", "100000"),
    ("old_mode", "'NO_DUP_KEY_WARNINGS_WITH_IGNORE,ZERO_DATE_TIME_CAST,UTF8_IS_UTF8MB3'"),
    ("max_error_count", "1"),
    ("character_set_client", "latin1"),
    ("character_set_results", "latin1"),
    ("collation_connection", "latin1_german2_ci"),
    ("timestamp", "1"),
    ("character_set_collations", "'utf8mb4=utf8mb4_bin'"),
    ("wsrep_dirty_reads", "1"),
    ("session_track_schema", "0"),
    ("session_track_gtids", "'ALL_GTIDS'"),
    ("show_create_table_skip_secondary_engine", "1"),
    ("standard_compliant_cte", "0"),
    ("max_recursive_iterations", "1"),
    ("cte_max_recursion_depth", "1"),
    ("old_passwords", "1"),
    ("big_tables", "1"),
    ("max_sort_length", "64"),
    ("optimizer_trace", "'enabled=on'"),
    ("profiling", "1"),
];

/// The variables that an ordinary account may not set on MySQL, and so `init_connect` neither.
pub(crate) const PRIVILEGED: [&str; 1] = ["max_error_count"];

/// The variables that have no global value.
pub(crate) const SESSION_ONLY: [&str; 3] =
    ["use_secondary_engine", "timestamp", "show_create_table_skip_secondary_engine"];

/// The worst values of the variables that the program pins only if its account may.
pub(crate) const NEEDS_PRIVILEGE: &[(&str, &str)] = &[
    ("default_collation_for_utf8mb4", "'utf8mb4_general_ci'"),
    ("innodb_strict_mode", "0"),
    ("sql_require_primary_key", "1"),
    ("sql_generate_invisible_primary_key", "1"),
];

/// Bad values of variables that the program leaves to the server, because none of them makes a
/// difference to what it stores or understands.
pub(crate) const LEFT: &[(&str, &str)] = &[
    // Names of character sets that statements give themselves.
    ("character_set_database", "latin1"),
    ("character_set_filesystem", "latin1"),
    ("character_set_server", "latin1"),
    ("collation_database", "latin1_german2_ci"),
    ("collation_server", "latin1_german2_ci"),
    // Buffers, and the ways to a result.
    ("big_tables", "1"),
    ("bulk_insert_buffer_size", "0"),
    ("eq_range_index_dive_limit", "1"),
    ("expensive_subquery_limit", "0"),
    ("histogram_generation_max_mem_size", "1000000"),
    ("in_predicate_conversion_threshold", "2"),
    ("internal_tmp_mem_storage_engine", "MEMORY"),
    ("join_buffer_size", "128"),
    ("join_cache_level", "0"),
    ("low_priority_updates", "1"),
    ("max_heap_table_size", "16384"),
    ("max_length_for_sort_data", "4"),
    ("max_seeks_for_key", "1"),
    ("optimizer_max_sel_arg_weight", "0"),
    ("optimizer_prune_level", "0"),
    ("optimizer_search_depth", "1"),
    ("optimizer_use_condition_selectivity", "1"),
    ("query_cache_strip_comments", "1"),
    ("query_cache_wlock_invalidate", "1"),
    ("range_optimizer_max_mem_size", "1"),
    ("read_buffer_size", "8192"),
    ("read_rnd_buffer_size", "1"),
    ("rowid_merge_buff_size", "0"),
    ("sort_buffer_size", "32768"),
    ("sql_buffer_result", "1"),
    ("tmp_memory_table_size", "1024"),
    ("tmp_table_size", "1024"),
    ("use_stat_tables", "'PREFERABLY'"),
    // How a table is kept, and how a change is made.
    ("innodb_compression_default", "1"),
    ("keep_files_on_create", "1"),
    ("system_versioning_alter_history", "'KEEP'"),
    // Locks and isolation: the program locks what it must not see change.
    ("innodb_snapshot_isolation", "1"),
    ("innodb_table_locks", "0"),
    // What is logged, and for whom.
    ("binlog_direct_non_transactional_updates", "1"),
    ("binlog_row_image", "'MINIMAL'"),
    ("long_query_time", "0"),
    ("min_examined_row_limit", "1000000"),
    ("progress_report_time", "1"),
    // The forms of statements that the program does not send, or whose form it names.
    ("enable_cascade_triggers", "1"),
    ("explain_format", "'TREE'"),
    ("explain_json_format_version", "2"),
    ("information_schema_stats_expiry", "31536000"),
    ("print_identified_with_as_hex", "1"),
    ("restrict_fk_on_non_standard_key", "0"),
    ("select_into_disk_sync", "1"),
    ("xa_detach_on_prepare", "0"),
];

/// The variables that differ by nature, or that are left to the server.
pub(crate) const FREE: &[&str] = &[
    // The connection, the clock and what was last inserted.
    "pseudo_thread_id",
    "statement_id",
    "timestamp",
    "rand_seed1",
    "rand_seed2",
    "identity",
    "last_insert_id",
    "error_count",
    "warning_count",
    // The server's progress.
    "gtid_binlog_pos",
    "gtid_binlog_state",
    "gtid_current_pos",
    "gtid_executed",
    "last_gtid",
    // The test sets it.
    "init_connect",
    // They change only speed, memory and diagnostics.
    "big_tables",
    "max_join_size",
    "optimizer_trace",
    "profiling",
];

/// MySQL requires a privilege, and the program counts the warnings that it cannot read.
pub(crate) const FREE_ON_MYSQL: &[&str] = &["max_error_count"];
