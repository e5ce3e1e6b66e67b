//! Reads the keys of a `--keys-from` file: one URI a line, or the manifest of an UNLOAD.

use std::path::Path;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt as _, BufReader};

use crate::error::{Error, ErrorKind, Result};
use crate::s3_uri::{KeyLineError, SourceUri};

/// The longest line of a key file. A key has up to 1024 bytes, and JSON takes up to six for one.
const LINE_LIMIT_BYTES: u64 = 64 * 1024;

/// The longest manifest, which is read whole. One with 100,000 objects has about a fifth of this.
const MANIFEST_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// A bucket and a key.
type Named = (String, String);

/// The list of objects that Redshift's UNLOAD writes.
#[derive(Deserialize)]
struct Manifest {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    url: String,
}

/// Returns the keys of a file as a stream. `-` is standard input.
///
/// # Errors
/// `Usage` if the file cannot be read or is neither a list of URIs nor a manifest. The errors of
/// later lines are items of the stream.
pub(super) async fn named_keys(path: &Path) -> Result<BoxStream<'static, Result<Named>>> {
    let name = path.display().to_string();
    let unreadable = |error| unreadable(&name, error);
    let mut reader: Box<dyn AsyncBufRead + Unpin + Send> = if path == Path::new("-") {
        Box::new(BufReader::new(tokio::io::stdin()))
    } else {
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        Box::new(BufReader::new(file))
    };
    // No URI begins with a brace.
    let first = reader.fill_buf().await.map_err(unreadable)?;
    if first.trim_ascii_start().starts_with(b"{") {
        return Ok(stream::iter(manifest(&name, reader).await?.into_iter().map(Ok)).boxed());
    }
    Ok(lines(name, reader).boxed())
}

/// Returns the keys of a list, one URI a line.
fn lines(
    name: String,
    reader: Box<dyn AsyncBufRead + Unpin + Send>,
) -> impl futures_util::Stream<Item = Result<Named>> {
    stream::unfold(Some((reader, 0_u64)), move |state| {
        let name = name.clone();
        async move {
            let (mut reader, mut number) = state?;
            loop {
                number += 1;
                match next_line(&mut reader).await {
                    Ok(Some(line)) => match named(&line) {
                        Ok(None) => {}
                        Ok(Some(named)) => return Some((Ok(named), Some((reader, number)))),
                        Err(error) => {
                            let message = format!("--keys-from {name}, line {number}: {error}");
                            return Some((Err(Error::new(ErrorKind::Usage, message)), None));
                        }
                    },
                    Ok(None) => return None,
                    Err(error) => return Some((Err(unreadable(&name, error)), None)),
                }
            }
        }
    })
}

/// Returns the keys of a manifest.
async fn manifest(name: &str, reader: Box<dyn AsyncBufRead + Unpin + Send>) -> Result<Vec<Named>> {
    let mut text = Vec::new();
    let read = reader.take(MANIFEST_LIMIT_BYTES).read_to_end(&mut text).await;
    read.map_err(|error| unreadable(name, error))?;
    let wrong = |why: String| {
        let message = format!("--keys-from {name}: this is no manifest of an UNLOAD: {why}");
        Error::new(ErrorKind::Usage, message)
    };
    if text.len() as u64 == MANIFEST_LIMIT_BYTES {
        return Err(wrong(format!("it has more than {MANIFEST_LIMIT_BYTES} bytes")));
    }
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let keys = manifest.entries.into_iter().enumerate().map(|(index, Entry { url })| {
        let number = index + 1;
        let found = named(&url).map_err(|error| wrong(format!("entry {number}: {error}")))?;
        found.ok_or_else(|| wrong(format!("entry {number} has no URI")))
    });
    keys.collect()
}

/// Parses the URI of one object. Returns `None` for an empty line or a comment.
fn named(line: &str) -> std::result::Result<Option<Named>, KeyLineError> {
    Ok(SourceUri::from_key_line(line)?.map(|uri| match uri {
        SourceUri::Key { bucket, key } | SourceUri::Prefix { bucket, prefix: key } => (bucket, key),
    }))
}

async fn next_line(
    reader: &mut (dyn AsyncBufRead + Unpin + Send),
) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 == LINE_LIMIT_BYTES {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            "a line is longer than 64 KiB, and no URI is",
        ));
    }
    let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    String::from_utf8(line).map(Some).map_err(invalid)
}

fn unreadable(name: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Usage, format!("--keys-from {name} cannot be read")).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn keys(text: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let named = match named_keys(file.path()).await {
            Ok(named) => named,
            Err(error) => return vec![error.one_line()],
        };
        let keys = named.map(|named| match named {
            Ok((bucket, key)) => format!("{bucket} {key}"),
            Err(error) => error.one_line(),
        });
        keys.collect().await
    }

    #[tokio::test]
    async fn a_manifest_names_its_objects() {
        let manifest = r#"
            {"entries": [
                {"url": "s3://b/unload/0000_part_00", "meta": {"content_length": 32}},
                {"url": "s3://b/unload/0001_part_00"}
            ], "schema": {"elements": []}}"#;
        assert_eq!(keys(manifest).await, ["b unload/0000_part_00", "b unload/0001_part_00"]);
        assert_eq!(keys(r#"{"entries": []}"#).await, [""; 0]);
        for (text, why) in [
            ("{\"entries\": [", "EOF"),
            ("{\"files\": []}", "missing field `entries`"),
            ("{\"entries\": [{\"url\": \"https://b/k\"}]}", "entry 1: "),
            ("{\"entries\": [{\"url\": \"\"}]}", "entry 1 has no URI"),
        ] {
            let said = keys(text).await;
            assert!(said.len() == 1 && said[0].contains(why), "{said:?}");
        }
    }
}
