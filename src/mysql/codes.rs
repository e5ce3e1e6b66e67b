//! The error and warning numbers of the servers that this program knows, each with a name.
//!
//! The numbers are those of the servers' own manuals; where MySQL and MariaDB differ, both stand
//! beside each other.

/// A unique key has the value already.
pub(crate) const DUPLICATE_ENTRY: u16 = 1062;

/// The account lacks a right on the table.
pub(crate) const TABLE_ACCESS_DENIED: u16 = 1142;

/// The account lacks a right on a column.
pub(crate) const COLUMN_ACCESS_DENIED: u16 = 1143;

/// The account has no right on the database.
pub(crate) const DATABASE_ACCESS_DENIED: u16 = 1044;

/// The account lacks a right of the whole server.
pub(crate) const PRIVILEGE_NEEDED: u16 = 1227;

/// The database does not exist.
pub(crate) const NO_SUCH_DATABASE: u16 = 1049;

/// The table exists already.
pub(crate) const TABLE_EXISTS: u16 = 1050;

/// The table must have a primary key, by `sql_require_primary_key`.
pub(crate) const PRIMARY_KEY_REQUIRED: u16 = 3750;

/// The table does not exist.
pub(crate) const NO_SUCH_TABLE: u16 = 1146;

/// The column does not exist.
pub(crate) const NO_SUCH_COLUMN: u16 = 1054;

/// The server does not know the character set.
pub(crate) const UNKNOWN_CHARSET: u16 = 1115;

/// The statement cannot be parsed.
pub(crate) const SYNTAX_ERROR: u16 = 1064;

/// The account lacks a right on a procedure or a function.
pub(crate) const ROUTINE_ACCESS_DENIED: u16 = 1370;

/// The server does not know the system variable.
pub(crate) const UNKNOWN_VARIABLE: u16 = 1193;

/// The system variable does not take the value.
pub(crate) const WRONG_VALUE_FOR_VARIABLE: u16 = 1231;

/// The separators of LOAD DATA do not go together.
pub(crate) const WRONG_SEPARATORS: u16 = 1083;

/// The object is of another kind than the statement needs, such as a view for a table.
pub(crate) const WRONG_OBJECT: u16 = 1347;

/// A column of a view cannot be written to.
pub(crate) const COLUMN_NOT_UPDATABLE: u16 = 1348;

/// Rows cannot be inserted into the table, as into some views.
pub(crate) const TABLE_NOT_INSERTABLE: u16 = 1471;

/// A column's default is invalid under the session's `sql_mode`.
pub(crate) const INVALID_DEFAULT: u16 = 1067;

/// The account cannot see the plan of a statement on a view.
pub(crate) const VIEW_NOT_EXPLAINED: u16 = 1345;

/// A trigger or a procedure has raised an error with SIGNAL.
pub(crate) const SIGNAL: u16 = 1644;

/// TRUNCATE is refused because a foreign key refers to the table.
pub(crate) const TRUNCATE_REFUSED_BY_FOREIGN_KEY: u16 = 1701;

/// The password is wrong, or the account does not exist.
pub(crate) const ACCESS_DENIED: u16 = 1045;

/// The same, for an account whose plugin uses no password.
pub(crate) const ACCESS_DENIED_WITHOUT_PASSWORD: u16 = 1698;

/// No account may log in from this host.
pub(crate) const HOST_NOT_ALLOWED: u16 = 1130;

/// The client cannot do what the account's plugin asks for.
pub(crate) const PLUGIN_NOT_SUPPORTED: u16 = 1251;

/// The account's plugin is not loaded.
pub(crate) const PLUGIN_NOT_LOADED: u16 = 1524;

/// Returns true if the account is locked (MySQL, MariaDB).
pub(crate) fn is_account_locked(code: u16) -> bool {
    matches!(code, 3118 | 4151)
}

/// Returns true if the account is blocked for its failed logins (MySQL, MariaDB).
pub(crate) fn is_account_blocked(code: u16) -> bool {
    matches!(code, 3955 | 4150)
}

/// Returns true if the account's password has expired: the server allows only a new one, or refuses
/// the login.
pub(crate) fn is_password_expired(code: u16) -> bool {
    matches!(code, 1820 | 1862)
}

/// The server has no connection left.
pub(crate) const TOO_MANY_CONNECTIONS: u16 = 1040;

/// The account has as many connections as the server allows each account.
pub(crate) const TOO_MANY_USER_CONNECTIONS: u16 = 1203;

/// The account has used up a limit of its own, such as connections.
pub(crate) const USER_LIMIT_REACHED: u16 = 1226;

/// The server has no memory or thread left.
pub(crate) const OUT_OF_RESOURCES: u16 = 1041;

/// The server is shutting down.
pub(crate) const SHUTTING_DOWN: u16 = 1053;

/// Returns true if the connection is gone: it was killed (MariaDB 1927), is lost (2006, 2013), was
/// idle for too long (MySQL 4031), or its packets could not be read or written.
pub(crate) fn is_connection_lost(code: u16) -> bool {
    matches!(code, 1927 | 2006 | 2013 | 4031 | 1158..=1161)
}

/// The server refuses this host after too many failed connections.
pub(crate) const HOST_BLOCKED: u16 = 1129;

/// The server accepts encrypted connections only.
pub(crate) const TLS_REQUIRED: u16 = 3159;

/// The statement is longer than the server accepts.
pub(crate) const PACKET_TOO_LARGE: u16 = 1153;

/// A lock was not granted in time.
pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// The transaction was chosen as the victim of a deadlock, and is rolled back.
pub(crate) const DEADLOCK: u16 = 1213;

/// A lock was asked for with NOWAIT, and another transaction holds it.
pub(crate) const LOCK_NOT_FREE: u16 = 3572;

/// The row has changed since the transaction read it (MariaDB).
pub(crate) const ROW_CHANGED: u16 = 1020;

/// Group replication has rolled the transaction back at its COMMIT.
pub(crate) const ROLLED_BACK_AT_COMMIT: u16 = 3101;

/// NULL is stored into a NOT NULL column.
pub(crate) const NULL_REFUSED: u16 = 1048;

/// A row has fewer fields than columns.
pub(crate) const TOO_FEW_FIELDS: u16 = 1261;

/// A row has more fields than columns.
pub(crate) const TOO_MANY_FIELDS: u16 = 1262;

/// NULL became the default of a NOT NULL column.
pub(crate) const NULL_REPLACED: u16 = 1263;

/// The number is out of the column's range.
pub(crate) const OUT_OF_RANGE: u16 = 1264;

/// The value was cut or changed when it was stored.
pub(crate) const DATA_TRUNCATED: u16 = 1265;

/// The value does not fit the type it is converted to.
pub(crate) const TRUNCATED_WRONG_VALUE: u16 = 1292;

/// The value is no valid TIMESTAMP.
pub(crate) const INVALID_TIMESTAMP: u16 = 1299;

/// The text is not valid in its character set.
pub(crate) const INVALID_CHARACTER: u16 = 1300;

/// The value is no value of the column's type.
pub(crate) const WRONG_VALUE_FOR_FIELD: u16 = 1366;

/// The value is no value of the type that a function returns.
pub(crate) const WRONG_VALUE_FOR_TYPE: u16 = 1411;

/// The text is longer than the column.
pub(crate) const DATA_TOO_LONG: u16 = 1406;

/// The text is no vector.
pub(crate) const INVALID_VECTOR: u16 = 6136;

/// Returns true if the server is read-only: `read_only` or `super_read_only`, a read-only
/// transaction, or a read-only InnoDB. A failover may be under way.
pub(crate) fn is_read_only(code: u16) -> bool {
    matches!(code, 1290 | 1792 | 1836)
}

/// Returns true if `local_infile` is off.
pub(crate) fn is_local_infile_off(code: u16) -> bool {
    matches!(code, 1148 | 3948 | 4166)
}

/// Returns true if GTIDs forbid a temporary table in a transaction.
pub(crate) fn is_refused_by_gtid(code: u16) -> bool {
    matches!(code, 1787 | 3748)
}

/// Returns true if a notation is deprecated for dates: the delimiter, or a superfluous one.
pub(crate) fn is_deprecated_date(code: u16) -> bool {
    matches!(code, 4095 | 4096)
}

/// Returns true if a statement uses deprecated syntax, or is unsafe to replicate as a statement.
pub(crate) fn is_about_the_statement(code: u16) -> bool {
    matches!(code, 1287 | 1592 | 1681)
}

/// Returns true if the value is no valid geometry.
pub(crate) fn is_invalid_geometry(code: u16) -> bool {
    matches!(code, 1416 | 3037 | 3055)
}

/// Returns true if the value is no valid JSON document, or one of its paths is invalid.
pub(crate) fn is_invalid_json(code: u16) -> bool {
    matches!(code, 3140..=3149)
}

/// Returns true if a row was not stored because of its key: a duplicate entry, also in the wording
/// of foreign keys and of named indexes.
pub(crate) fn is_duplicate(code: u16) -> bool {
    matches!(code, DUPLICATE_ENTRY | 1586 | 1761 | 1762)
}

/// Returns true if a row was refused by CHECK (MySQL, MariaDB).
pub(crate) fn is_refused_by_check(code: u16) -> bool {
    matches!(code, 3819 | 4025)
}

/// Returns true if a row was refused by CHECK or by the CHECK OPTION of a view.
pub(crate) fn is_refused_by_constraint(code: u16) -> bool {
    is_refused_by_check(code) || code == 1369
}

/// A row was refused because its parent row does not exist.
pub(crate) const NO_PARENT_ROW: u16 = 1452;

/// The same, in the message that does not name the constraint.
pub(crate) const NO_PARENT_ROW_UNNAMED: u16 = 1216;

/// No partition takes the row.
pub(crate) const NO_PARTITION: u16 = 1526;

/// Returns true if a row was refused because no partition takes it, or none of those that the
/// statement names.
pub(crate) fn is_refused_by_partition(code: u16) -> bool {
    matches!(code, NO_PARTITION | 1591 | 1748)
}

/// Returns true if ALTER TABLE names a column twice, or asks an engine for a type, an index or
/// partitions that it lacks.
pub(crate) fn is_impossible_alter(code: u16) -> bool {
    matches!(code, 1060 | 1163 | 1178 | 1214 | 1464 | 3106 | 3750)
}

/// Returns true if the table cannot be changed in this way because of a foreign key on either side
/// of it.
pub(crate) fn is_kept_by_foreign_key(code: u16) -> bool {
    matches!(code, 1217 | 1451 | 3730 | 3776)
}

/// The number with which the guard of logins says that it cannot connect to the server.
pub(crate) const CLIENT_CANNOT_CONNECT: u16 = 2003;

/// The number with which the guard of logins, like the `mysql` client, refuses to go on.
pub(crate) const CLIENT_REFUSES_LOGIN: u16 = 2061;
