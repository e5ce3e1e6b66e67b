//! The error and warning numbers that more than one module knows.
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

/// A lock was not granted in time.
pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// The transaction was chosen as the victim of a deadlock, and is rolled back.
pub(crate) const DEADLOCK: u16 = 1213;

/// The value does not fit the type it is converted to.
pub(crate) const TRUNCATED_WRONG_VALUE: u16 = 1292;

/// Returns true if a row was not stored because of its key: a duplicate entry, also in the wording
/// of foreign keys and of named indexes.
pub(crate) fn is_duplicate(code: u16) -> bool {
    matches!(code, DUPLICATE_ENTRY | 1586 | 1761 | 1762)
}

/// Returns true if a row was refused by CHECK (MySQL 3819, MariaDB 4025) or by the CHECK OPTION of
/// a view.
pub(crate) fn is_refused_by_constraint(code: u16) -> bool {
    matches!(code, 3819 | 4025 | 1369)
}

/// A row was refused because its parent row does not exist.
pub(crate) const NO_PARENT_ROW: u16 = 1452;

/// The same, in the message that does not name the constraint.
pub(crate) const NO_PARENT_ROW_UNNAMED: u16 = 1216;

/// Returns true if a row was refused because no partition takes it.
pub(crate) fn is_refused_by_partition(code: u16) -> bool {
    matches!(code, 1526 | 1591 | 1748)
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
