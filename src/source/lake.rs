//! Recognizes the folders of lake tables: Delta Lake, Hudi and Iceberg.
//!
//! The data files of such a table are not its rows. Files of deleted and rewritten rows stay until
//! somebody vacuums, and only the log of the table says which count.

use crate::error::{Error, ErrorKind};

/// The folders and files below the folder of a lake table.
pub(super) const MARKERS: [&str; 3] = ["_delta_log/", ".hoodie/", "metadata/"];

/// Returns the name of the lake format whose table a key belongs to, if the key says so. `below` is
/// the key after the prefix.
pub(super) fn lake_of(below: &str) -> Option<&'static str> {
    let (folders, name) = below.rsplit_once('/')?;
    let mut folders = folders.split('/').rev();
    let last = folders.next();
    if last == Some("metadata") && name.ends_with(".metadata.json") {
        return Some("Iceberg");
    }
    last.into_iter().chain(folders).find_map(|folder| match folder {
        "_delta_log" => Some("Delta Lake"),
        ".hoodie" => Some("Hudi"),
        _ => None,
    })
}

/// Returns the error about a folder.
pub(super) fn refused(bucket: &str, key: &str, lake: &str) -> Error {
    let message = format!(
        "s3://{bucket}/{}: this is a table of {lake}, and its files also hold rows that were \
         deleted or replaced",
        crate::printable::printable(key)
    );
    Error::new(ErrorKind::Usage, message).with_hint(
        "export the table with a program that reads its log; --allow-lake-files loads all files \
         as they are",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_logs_and_metadata_tell_the_format() {
        assert_eq!(lake_of("orders/_delta_log/00000000000000000000.json"), Some("Delta Lake"));
        assert_eq!(
            lake_of("_delta_log/00000000000000000010.checkpoint.parquet"),
            Some("Delta Lake")
        );
        assert_eq!(lake_of(".hoodie/hoodie.properties"), Some("Hudi"));
        assert_eq!(lake_of(".hoodie/archived/x"), Some("Hudi"));
        assert_eq!(lake_of("metadata/00001-7e.metadata.json"), Some("Iceberg"));
        for key in ["part-0.parquet", "metadata/a.parquet", "x/delta_log/0.json", "_delta_log"] {
            assert_eq!(lake_of(key), None, "{key}");
        }
    }
}
