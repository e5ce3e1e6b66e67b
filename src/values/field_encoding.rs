//! Writes values as fields of the object's dialect.

use crate::dialect::{Dialect, LineTerminator};

/// Writes values as fields of the object's dialect.
#[derive(Clone, Debug)]
pub(super) struct FieldEncoding {
    field_terminator: Vec<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    /// The bytes of the terminators.
    terminators: Vec<u8>,
    /// The bytes that mean NULL, if any do.
    pub(super) null: Option<Vec<u8>>,
}

impl FieldEncoding {
    pub(super) fn new(dialect: &Dialect) -> Self {
        let line: &[u8] = match &dialect.lines_terminated_by {
            LineTerminator::Exact(line) => line,
            LineTerminator::Detect => b"\r\n",
        };
        let (quote, escape) = (dialect.fields_enclosed_by, dialect.fields_escaped_by);
        let null = match (quote, escape) {
            (quote, Some(escape)) if quote != Some(escape) => Some(vec![escape, b'N']),
            (Some(_), _) => Some(b"NULL".to_vec()),
            _ => None,
        };
        let terminators = [dialect.fields_terminated_by.as_slice(), line].concat();
        let field_terminator = dialect.fields_terminated_by.clone();
        Self { field_terminator, quote, escape, terminators, null }
    }

    /// Returns true if a field can hold this value.
    pub(super) fn can_write(&self, value: &[u8]) -> bool {
        self.quote.is_some_and(|quote| !value.contains(&quote) && !self.has_escape(value))
            || !self.is_special(value)
    }

    fn has_escape(&self, value: &[u8]) -> bool {
        self.escape.is_some_and(|escape| value.contains(&escape))
    }

    fn is_special(&self, value: &[u8]) -> bool {
        let is_special = |byte| self.terminators.contains(byte) || Some(*byte) == self.quote;
        self.has_escape(value) || value.iter().any(is_special)
    }

    pub(super) fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        match self.quote.filter(|_| self.is_special(value)) {
            Some(quote) => {
                out.push(quote);
                out.extend_from_slice(value);
                out.push(quote);
            }
            None => out.extend_from_slice(value),
        }
    }

    /// Returns the terminator of a field.
    pub(super) fn terminator(&self) -> &[u8] {
        &self.field_terminator
    }

    /// Appends one more field to a row, after a field terminator. NULL may also be one of the words
    /// in `null_strings`. Returns false if the dialect cannot express the value.
    pub(super) fn append(
        &self,
        value: Option<&[u8]>,
        null_strings: Option<&Vec<Vec<u8>>>,
        out: &mut Vec<u8>,
    ) -> bool {
        if has_border(&self.field_terminator) {
            // After a field that ends with its beginning, the terminator would be found too early.
            return false;
        }
        out.extend_from_slice(&self.field_terminator);
        match (value, &self.null) {
            (Some(value), _) => self.append_text(value, out),
            (None, Some(null)) => {
                out.extend_from_slice(null);
                true
            }
            (None, None) => {
                let plain = |word: &&Vec<u8>| !self.is_special(word);
                let word = null_strings.and_then(|words| words.iter().find(plain));
                out.extend(word.into_iter().flatten());
                word.is_some()
            }
        }
    }

    fn append_text(&self, value: &[u8], out: &mut Vec<u8>) -> bool {
        let escape = self.escape.filter(|escape| Some(*escape) != self.quote);
        if let Some(quote) = self.quote {
            // Without quotes, the word NULL would mean NULL.
            out.push(quote);
            for &byte in value {
                if byte == quote || Some(byte) == escape {
                    out.push(byte);
                }
                out.push(byte);
            }
            out.push(quote);
            return true;
        }
        let Some(escape) = escape else {
            out.extend_from_slice(value);
            return !self.is_special(value);
        };
        for &byte in value {
            if self.is_special(&[byte]) {
                // After an escape, these stand for other bytes.
                if b"0bnrtZN".contains(&byte) {
                    return false;
                }
                out.push(escape);
            }
            out.push(byte);
        }
        true
    }

    /// Appends a field for one that a row lacks.
    pub(super) fn append_missing(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.field_terminator);
        out.extend(self.null.iter().flatten());
    }
}

/// Returns true if the text begins with its own end, as `||` and `aba` do.
fn has_border(text: &[u8]) -> bool {
    (1..text.len()).any(|length| text.starts_with(&text[text.len() - length..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialect::Preset;
    use crate::split::{CutRow, Field, FieldReader, RowCutter};

    fn appended(dialect: &Dialect, value: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut out = b"1".to_vec();
        FieldEncoding::new(dialect).append(value, None, &mut out).then_some(out)
    }

    #[test]
    fn null_is_told_from_texts_or_is_refused() {
        let row = |preset: Preset, value| {
            let row = appended(&preset.dialect(), value)?;
            Some(row.escape_ascii().to_string())
        };
        assert_eq!(row(Preset::Csv, None).unwrap(), "1,NULL");
        assert_eq!(row(Preset::Csv, Some(b"NULL")).unwrap(), "1,\\\"NULL\\\"");
        assert_eq!(row(Preset::Mysql, None).unwrap(), "1\\t\\\\N");
        assert_eq!(row(Preset::Tsv, None), None);
        assert_eq!(row(Preset::Tsv, Some(b"a\tb")), None);
        assert_eq!(row(Preset::Tsv, Some(b"NULL")).unwrap(), "1\\tNULL");
        let mut out = Vec::new();
        let words = vec![b"\\N".to_vec()];
        let raw = FieldEncoding::new(&Preset::HiveRaw.dialect());
        assert!(raw.append(None, Some(&words), &mut out));
        assert_eq!(out, b"\x01\\N");
    }

    #[test]
    fn a_terminator_that_may_be_found_too_early_adds_nothing() {
        let dialect = |field: &[u8]| Dialect {
            fields_terminated_by: field.to_vec(),
            ..Preset::Mysql.dialect()
        };
        assert_eq!(appended(&dialect(b"||"), Some(b"x")), None);
        assert_eq!(appended(&dialect(b"aba"), Some(b"x")), None);
        assert_eq!(appended(&dialect(b"|~"), Some(b"x")).unwrap(), b"1|~x");
    }

    proptest! {
        #[test]
        fn what_is_appended_is_read_back(
            own in prop::sample::select(vec!["1", "", "\"a\"", "a\"", "NULL"]),
            value in proptest::option::of("[a\"\\\\,\t\n|N0nt\x01 NULL\u{e9}]{0,8}"),
            escaped in any::<bool>(),
        ) {
            let mut dialects = vec![
                Preset::Mysql.dialect(), Preset::Hive.dialect(), Preset::Csv.dialect(),
                Preset::CsvUnix.dialect(), Preset::Tsv.dialect(),
            ];
            for dialect in &mut dialects[2..4] {
                dialect.fields_escaped_by = escaped.then_some(b'\\');
            }
            for dialect in dialects {
                let mut row = own.as_bytes().to_vec();
                let text = value.as_deref().map(str::as_bytes);
                let is_written = FieldEncoding::new(&dialect).append(text, None, &mut row);
                prop_assert!(is_written || dialect.fields_enclosed_by.is_none());
                let is_closed = dialect.fields_enclosed_by.is_none() || own != "\"a";
                if !is_written || !is_closed {
                    continue;
                }
                let mut rows = Vec::new();
                let mut cutter = RowCutter::new(&dialect, b"\n", 2);
                row.push(b'\n');
                prop_assert!(cutter.feed(&row, |row| rows.push(row.bytes.to_vec())).is_ok());
                prop_assert!(cutter.finish(|row| rows.push(row.bytes.to_vec())).is_ok());
                prop_assert_eq!(rows.len(), 1);
                let fields = FieldReader::new(&dialect, 2).read(&CutRow::whole(&rows[0]));
                let expected = match text {
                    Some(text) => Field::Value(text.into()),
                    None => Field::Null,
                };
                prop_assert_eq!(&fields[1], &expected);
            }
        }
    }
}
