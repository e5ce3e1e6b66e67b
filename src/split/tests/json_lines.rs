//! Lines of JSON: what is a row, and where it is, however the object is cut.

use bytes::Bytes;
use proptest::prelude::*;

use crate::dialect::{Charset, RowFormat};
use crate::split::{
    Boundary, LocatedRow, PartSplitter, RowCutter, RowLocator, RowReader, SplitStep,
};

/// The offset, the line and the text of a row, and the offset after its line.
type Row = (u64, u64, Vec<u8>, u64);

fn is_blank(mut text: &[u8]) -> bool {
    let blanks = ["\u{feff}", " ", "\t", "\r"].map(str::as_bytes);
    while let Some(rest) = blanks.iter().find_map(|blank| text.strip_prefix(*blank)) {
        text = rest;
    }
    text.is_empty()
}

/// Reads the rows by their definition.
fn rows(object: &[u8]) -> Vec<Row> {
    let mut offset = 0;
    let mut rows = Vec::new();
    for (index, line) in object.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let end = offset + line.len() as u64;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if !is_blank(text) {
            rows.push((offset, index as u64 + 1, text.to_vec(), end));
        }
        offset = end;
    }
    rows
}

fn reader() -> RowReader {
    RowReader::new(RowFormat::JsonLines, &Charset::default(), 3, 0)
}

fn located(object: &[u8], chunk: usize, mut locator: RowLocator, from: u64) -> Vec<Row> {
    let mut found: Vec<LocatedRow> = Vec::new();
    for chunk in object[usize::try_from(from).unwrap()..].chunks(chunk) {
        locator.feed(chunk).unwrap();
        found.extend(locator.take());
    }
    found.extend(locator.finish().unwrap());
    let text = |row: &LocatedRow| {
        let start = usize::try_from(row.offset).unwrap();
        object[start..start + usize::try_from(row.size_bytes).unwrap()].to_vec()
    };
    found.iter().map(|row| (row.offset, row.line, text(row), row.end)).collect()
}

fn cut(object: &[u8], chunk: usize) -> Vec<Vec<u8>> {
    let mut cutter = RowCutter::new(RowFormat::JsonLines, b"\n", 3);
    let mut rows = Vec::new();
    for chunk in object.chunks(chunk) {
        cutter.feed(chunk, |row| rows.push(row.bytes.to_vec())).unwrap();
    }
    cutter.finish(|row| rows.push(row.bytes.to_vec())).unwrap();
    rows
}

fn every() -> RowLocator {
    RowLocator::every(RowFormat::JsonLines, &Charset::default(), 3, 0)
}

/// Returns the boundaries between parts.
fn boundaries(object: &[u8], chunk: usize, part_size_bytes: u64) -> Vec<Boundary> {
    let mut splitter = PartSplitter::new(reader(), &Boundary::default(), part_size_bytes);
    let mut steps = Vec::new();
    for chunk in object.chunks(chunk) {
        steps.extend(splitter.feed(Bytes::copy_from_slice(chunk)));
    }
    steps.extend(splitter.finish());
    let found = steps.into_iter().filter_map(|step| match step {
        SplitStep::Boundary(boundary) | SplitStep::End(boundary, _) => Some(boundary),
        SplitStep::Bytes(_) => None,
        SplitStep::Broken(malformed) => panic!("{malformed}"),
    });
    found.collect()
}

proptest! {
    #[test]
    fn every_reader_finds_the_same_rows(
        texts in proptest::collection::vec(
            prop::sample::select(vec![
                "{}", "{\"a\":\"b\"}", "\n", "\n", "\n", " ", "\t", "\r", "\r\n", "\u{feff}", "x",
                "\n\u{feff}", "\u{fefe}", "\u{feff}\n",
                "{\"a long record\": \"that is longer than a word of 64 bytes, as most are\"}",
            ]),
            0..40,
        ),
        cut_bytes in 0_usize..3,
        chunk in 1_usize..50,
        part_size_bytes in 1_u64..100,
    ) {
        let mut object = texts.concat().into_bytes();
        // A byte order mark may be cut.
        object.truncate(object.len().saturating_sub(cut_bytes));
        let expected = rows(&object);
        let mut counter = reader();
        for chunk in object.chunks(chunk) {
            counter.feed(chunk).unwrap();
        }
        let scan = counter.finish().unwrap();
        let is_open = |row: &Row| row.0 + row.2.len() as u64 == row.3;
        let needs_terminator = expected.last().is_some_and(is_open);
        prop_assert_eq!(scan.rows, expected.len() as u64);
        prop_assert_eq!(scan.needs_terminator, needs_terminator);
        prop_assert_eq!((scan.data_start, &scan.lines_terminated_by[..]), (0, &b"\n"[..]));
        prop_assert_eq!(&located(&object, chunk, every(), 0), &expected);

        let mut sent = object.clone();
        if needs_terminator {
            sent.push(b'\n');
        }
        let texts: Vec<Vec<u8>> = expected.iter().map(|row| row.2.clone()).collect();
        prop_assert_eq!(cut(&sent, chunk), texts);

        let one = (expected.len() / 2 + 1) as u64;
        let these = RowLocator::new(RowFormat::JsonLines, &Charset::default(), 3, 0, [one]);
        let found: Vec<u64> = located(&object, chunk, these, 0).iter().map(|row| row.0).collect();
        let wanted: Vec<u64> =
            expected.iter().skip(expected.len() / 2).take(1).map(|row| row.0).collect();
        prop_assert_eq!(found, wanted);

        let parts = boundaries(&object, chunk, part_size_bytes);
        prop_assert_eq!(&parts, &boundaries(&object, object.len().max(1), part_size_bytes));
        for part in &parts {
            let before = expected.iter().filter(|row| row.0 < part.offset).count();
            prop_assert_eq!(part.rows, before as u64);
            let after = located(&object, chunk, every().beginning_at(part), part.offset);
            prop_assert_eq!(&after[..], &expected[before..]);
        }
    }
}
