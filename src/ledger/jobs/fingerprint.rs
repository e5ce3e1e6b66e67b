//! The fingerprint by which two runs have the same job: which objects to load, and how to read
//! their bytes.
//!
//! It leaves out how the objects are fetched and loaded: a failed job may be resumed with other
//! credentials, another concurrency or another policy.

use sha2::{Digest as _, Sha256};

use crate::dialect::{ColumnOrVariable, FormatConfig, LineTerminator};
use crate::ledger::options::JobOptions;
use crate::s3_uri::SourceUri;

/// Returns the SHA-256 of the source and the format.
pub(super) fn of(options: &JobOptions<'_>) -> Vec<u8> {
    let mut fingerprint = Fingerprint(Sha256::new());
    let source = options.source;
    // The order of these has no meaning.
    fingerprint.sorted(
        "uris",
        source.uris.iter().map(|uri| match uri {
            SourceUri::Prefix { bucket, prefix } => format!("prefix\0{bucket}\0{prefix}"),
            SourceUri::Key { bucket, key } => format!("key\0{bucket}\0{key}"),
        }),
    );
    fingerprint.sorted("include", source.include.iter().cloned());
    fingerprint.sorted("exclude", source.exclude.iter().cloned());
    fingerprint.optional(
        "keys-from",
        source.keys_from.as_ref().map(|path| path.as_os_str().as_encoded_bytes()),
    );
    fingerprint.optional("key-regex", source.key_regex.as_ref());
    fingerprint.optional("modified-after", source.modified_after.map(|time| time.to_string()));
    fingerprint.optional("modified-before", source.modified_before.map(|time| time.to_string()));
    fingerprint.items("skip-hidden", [[u8::from(source.skip_hidden)]]);
    fingerprint.optional("endpoint-url", source.endpoint_url.as_ref());
    fingerprint.format(options.format);
    fingerprint.0.finalize().to_vec()
}

/// Returns the SHA-256 of everything that decides where the rows of an object end, and which of
/// their fields are loaded. The offsets of a packed object, which has a codec, are those of its
/// text.
pub(in crate::ledger) fn of_format(
    format: &FormatConfig,
    fields_per_row: usize,
    codec: Option<&str>,
) -> Vec<u8> {
    let mut fingerprint = Fingerprint(Sha256::new());
    fingerprint.items("fields-per-row", [(fields_per_row as u64).to_be_bytes()]);
    fingerprint.format(format);
    if let Some(codec) = codec {
        fingerprint.items("codec", [codec]);
    }
    fingerprint.0.finalize().to_vec()
}

struct Fingerprint(Sha256);

impl Fingerprint {
    fn format(&mut self, format: &FormatConfig) {
        let fingerprint = self;
        let dialect = &format.dialect;
        fingerprint.items("fields-terminated-by", [&dialect.fields_terminated_by]);
        fingerprint.optional("fields-enclosed-by", dialect.fields_enclosed_by.map(|byte| [byte]));
        fingerprint.optional("fields-escaped-by", dialect.fields_escaped_by.map(|byte| [byte]));
        let lines_terminated_by = match &dialect.lines_terminated_by {
            LineTerminator::Exact(terminator) => Some(terminator),
            LineTerminator::Detect => None,
        };
        fingerprint.optional("lines-terminated-by", lines_terminated_by);
        fingerprint.items("charset", [format.charset.name()]);
        fingerprint.items("ignore-lines", [format.ignore_lines.to_be_bytes()]);
        match &format.columns {
            None => fingerprint.items("no columns", [""; 0]),
            Some(columns) => fingerprint.items(
                "columns",
                columns.iter().map(|item| match item {
                    ColumnOrVariable::Column(name) => format!("column\0{name}"),
                    ColumnOrVariable::Variable(name) => format!("variable\0{name}"),
                }),
            ),
        }
        fingerprint
            .items("set", format.set.iter().flat_map(|(column, expression)| [column, expression]));
        fingerprint.sorted("null-string", format.null_strings.iter().cloned());
        if let Some(json) = &format.json {
            fingerprint.sorted("json", json.canonical().into_iter());
        }
        if let Some(parquet) = &format.parquet {
            fingerprint.sorted("parquet", parquet.canonical().into_iter());
        }
        // A job that was begun before these options existed has the same fingerprint.
        if !format.readings.is_empty() {
            fingerprint.sorted("readings", format.readings.iter().cloned());
        }
        let names = format.names.canonical();
        if !names.is_empty() {
            fingerprint.sorted("names", names.into_iter());
        }
    }

    fn items<T: AsRef<[u8]>>(&mut self, name: &str, items: impl IntoIterator<Item = T>) {
        let items: Vec<T> = items.into_iter().collect();
        self.bytes(name.as_bytes());
        self.0.update((items.len() as u64).to_be_bytes());
        for item in &items {
            self.bytes(item.as_ref());
        }
    }

    fn sorted(&mut self, name: &str, items: impl Iterator<Item = String>) {
        let mut items: Vec<String> = items.collect();
        items.sort_unstable();
        items.dedup();
        self.items(name, items);
    }

    fn optional<T: AsRef<[u8]>>(&mut self, name: &str, item: Option<T>) {
        self.items(name, item);
    }

    /// Adds the bytes after their length, which keeps "a" + "bc" distinct from "ab" + "c".
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, resolve};
    use crate::settings::Layer;

    fn fingerprint(file: &str) -> Vec<u8> {
        let text = format!("database-url = \"mysql://u@localhost/db\"\ntable = \"t\"\n{file}");
        let resolved = resolve(Inputs {
            scope: crate::settings::Scope::Load,
            command_line: Layer::default(),
            environment: Vec::new(),
            file: Some((std::path::Path::new("file"), &text)),
            read_file: &|_| Ok(String::new()),
        });
        of(&resolved.map_err(|problems| format!("{problems:?}")).unwrap().config.job())
    }

    #[test]
    fn how_a_job_is_loaded_does_not_make_it_another() {
        let base = fingerprint("uris = [\"s3://b/p/\", \"s3://b/q/\"]");
        for same in [
            "uris = [\"s3://b/q/\", \"s3://b/p/\"]",
            "uris = [\"s3://b/p/\", \"s3://b/q/\"]\non-bad-row = \"accept\"\non-duplicate = \
             \"ignore\"",
            "uris = [\"s3://b/p/\", \"s3://b/q/\"]\nload-concurrency = 1\nprofile = \
             \"other\"\nregion = \"r\"",
            "uris = [\"s3://b/p/\", \"s3://b/q/\"]\nmode = \"swap\"\nswap-keep-old = \
             true\ndefer-indexes = true",
        ] {
            assert_eq!(fingerprint(same), base, "{same}");
        }
    }

    #[test]
    fn every_part_of_source_and_format_makes_another_job() {
        let uris = "uris = [\"s3://b/p/\"]";
        let mut seen = vec![fingerprint(uris)];
        for other in [
            "uris = [\"s3://b/p/\", \"s3://b/q/\"]",
            "uris = [\"s3://b/p\"]",
            "uris = [\"s3://b2/p/\"]",
        ] {
            seen.push(fingerprint(other));
        }
        seen.push(fingerprint("keys-from = \"keys\""));
        for other in [
            "include = [\"a\"]",
            "exclude = [\"a\"]",
            "key-regex = \"a\"",
            "modified-after = \"2026-01-01\"",
            "modified-before = \"2026-01-01\"",
            "skip-hidden = true",
            "endpoint-url = \"http://localhost:1\"",
            "preset = \"csv\"",
            "preset = \"csv-unix\"",
            "fields-terminated-by = \"|\"",
            "fields-escaped-by = \"\"",
            "charset = \"latin1\"",
            "ignore-lines = 1",
            "columns = \"a,b\"",
            "columns = \"ab\"",
            "columns = \"a,@b\"",
            "set = [\"a = 1\"]",
            "null-string = [\"a\"]",
            "match-columns = \"name\"",
            "match-columns = \"name\"\nignore-lines = 2",
            "match-columns = \"name\"\nextra-columns = \"ignore\"",
            "match-columns = \"name\"\nmissing-columns = \"error\"",
            "match-columns = \"name\"\npartition-columns = \"none\"",
            "partition-columns = \"auto\"",
            "partition-columns = \"a,b\"",
            "partition-columns = \"a\"",
            "format = \"jsonl\"",
            "format = \"json\"",
            "format = \"json\"\nrows-at = \"$.a\"",
            "format = \"jsonl\"\nfield = [\"a=$.b\"]",
            "format = \"jsonl\"\nfield = [\"@a=$.b\"]",
            "format = \"jsonl\"\nfield = [\"a=$.b[0]\"]",
        ] {
            seen.push(fingerprint(&format!("{uris}\n{other}")));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
