mod json_lines;
mod locate;
mod parts;

use bytes::Bytes;
use proptest::prelude::*;

use super::grammar::Grammar;
use super::machine::FieldMachine;
use super::utf8::UTF8_BYTE_ORDER_MARK;
use super::*;
use crate::dialect::{Charset, Dialect, LineTerminator, Preset};

fn scan(
    dialect: &Dialect,
    charset: &str,
    fields: usize,
    ignore: u64,
    chunks: &[&[u8]],
) -> Result<Scan, Malformed> {
    let mut reader = RowReader::new(dialect, &Charset::new(charset).unwrap(), fields, ignore);
    for chunk in chunks {
        reader.feed(chunk)?;
    }
    reader.finish()
}

fn csv() -> Dialect {
    Preset::CsvUnix.dialect()
}

fn with_lines(dialect: Dialect, line: &[u8]) -> Dialect {
    Dialect { lines_terminated_by: LineTerminator::Exact(line.to_vec()), ..dialect }
}

/// Returns the scan of an object in utf8mb4 without header lines.
fn read(dialect: &Dialect, fields: usize, object: &[u8]) -> Result<Scan, Malformed> {
    scan(dialect, "utf8mb4", fields, 0, &[object])
}

fn rows(dialect: &Dialect, fields: usize, object: &[u8]) -> u64 {
    read(dialect, fields, object).unwrap().rows
}

fn refusal(dialect: &Dialect, fields: usize, object: &[u8]) -> (MalformedKind, u64, u64) {
    let malformed = read(dialect, fields, object).unwrap_err();
    (malformed.kind, malformed.row, malformed.offset)
}

fn wrong(expected: &[u8], found: &'static [u8]) -> MalformedKind {
    MalformedKind::WrongLineEnding { expected: expected.to_vec(), found }
}

#[test]
fn r1_quotes_count_only_in_the_fields_that_are_read() {
    let object = b"1,2,\"x\ny\"\n";
    assert_eq!(rows(&csv(), 2, object), 2);
    assert_eq!(rows(&csv(), 3, object), 1);
}

#[test]
fn r1_the_escape_counts_in_the_fields_that_are_not_read_too() {
    let dialect = Dialect { fields_escaped_by: Some(b'\\'), ..csv() };
    assert_eq!(rows(&dialect, 1, b"1,2\\\n3\n4\n"), 2);
    // An escape that equals the quote escapes nothing within the fields, but does beyond them.
    let doubling = Dialect { fields_escaped_by: Some(b'"'), ..csv() };
    assert_eq!(rows(&doubling, 2, b"1,\"x\"\n4\n"), 2);
    assert_eq!(rows(&doubling, 1, b"1,\"x\"\n4\n"), 1);
}

#[test]
fn r1_a_header_line_is_read_to_its_own_end_whatever_it_quotes() {
    let scan = scan(&csv(), "utf8mb4", 1, 1, &[b"a,b,\"h\n1\",h2\n1,2\n"]).unwrap();
    assert_eq!((scan.rows, scan.data_start), (1, 13));
}

#[test]
fn r2_a_quote_in_the_middle_of_a_field_is_data() {
    assert_eq!(rows(&csv(), 2, b"1,a\"b\n2,\"\"\"\n\"\n"), 2);
    assert_eq!(rows(&csv(), 2, b"1, \"b\n2,c\"\n"), 2);
}

#[test]
fn r3_doubled_and_escaped_quotes_are_data_and_do_not_close() {
    assert_eq!(rows(&csv(), 2, b"\"a\"\"\nb\",\"\"\n"), 1);
    let dialect = Dialect { fields_escaped_by: Some(b'\\'), ..csv() };
    assert_eq!(rows(&dialect, 2, b"\"a\\\"\nb\",c\n"), 1);
}

#[test]
fn r3_text_after_a_closing_quote_is_refused_at_its_first_byte() {
    let kind = MalformedKind::TextAfterClosingQuote;
    assert_eq!(refusal(&csv(), 3, b"1,2,3\n4,\"a\" \n"), (kind.clone(), 2, 11));
    assert_eq!(refusal(&csv(), 3, b"1,\"a\"\\,2\n"), (kind, 1, 5));
    // The field is not read, so this is not a quote.
    assert_eq!(rows(&csv(), 1, b"1,\"a\" \n"), 1);
}

#[test]
fn r4_a_quote_that_is_never_closed_is_refused_where_it_opens() {
    assert_eq!(refusal(&csv(), 2, b"1,2\n3,\"x\n5,6\n"), (MalformedKind::UnclosedQuote, 2, 6));
    assert_eq!(refusal(&csv(), 2, b"3,\"x\"\""), (MalformedKind::UnclosedQuote, 1, 2));
    let header = scan(&csv(), "utf8mb4", 2, 1, &[b"\"a,b\n1,2\n"]).unwrap_err();
    assert_eq!((header.kind, header.row, header.offset), (MalformedKind::UnclosedQuote, 0, 0));
}

#[test]
fn r5_an_escaped_byte_is_data_even_if_it_ends_lines() {
    let mysql = Preset::Mysql.dialect();
    assert_eq!(rows(&mysql, 2, b"a\\\nb\tc\n\\N\t\\\\\n"), 2);
    assert_eq!(rows(&Preset::HiveRaw.dialect(), 2, b"a\\\nb\n"), 2);
}

#[test]
fn r5_an_escape_as_the_last_byte_is_refused_since_it_would_swallow_the_terminator() {
    let mysql = Preset::Mysql.dialect();
    assert_eq!(refusal(&mysql, 2, b"a\tb\nc\\"), (MalformedKind::EscapeAtEnd, 2, 5));
    assert_eq!(refusal(&mysql, 1, b"a\tb\\"), (MalformedKind::EscapeAtEnd, 1, 3));
    assert_eq!(rows(&mysql, 2, b"c\\\\"), 1);
}

#[test]
fn r6_terminators_of_several_bytes_are_found_wherever_they_start() {
    let dialect = |line: &[u8]| with_lines(Preset::HiveRaw.dialect(), line);
    assert_eq!(rows(&dialect(b"aab"), 1, b"xaaabyaab"), 2);
    assert_eq!(rows(&dialect(b"ab"), 1, b"xaabyab"), 2);
    // The line terminator is searched for before the field terminator.
    let dbgen = Dialect { fields_terminated_by: b"|".to_vec(), ..dialect(b"|\n") };
    assert_eq!(rows(&dbgen, 2, b"1|2|\n3|4|\n"), 2);
    // A field terminator hides the line terminator inside it, but only where fields are read.
    let overlapping = Dialect { fields_terminated_by: b";\n".to_vec(), ..dialect(b"\n") };
    assert_eq!(rows(&overlapping, 3, b"a;\nb\n"), 1);
    assert_eq!(rows(&overlapping, 1, b"a;\nb;\nc\n"), 2);
}

#[test]
fn r7_an_empty_line_is_a_row_and_an_empty_object_has_none() {
    assert_eq!(rows(&csv(), 2, b"\n\n1,2\n"), 3);
    let empty = read(&csv(), 2, b"").unwrap();
    assert_eq!((empty.rows, empty.needs_terminator), (0, false));
}

#[test]
fn r7_data_after_the_last_terminator_is_a_row_that_needs_one() {
    for object in [&b"1,2\n3,4"[..], b"1,2\n\"3\"", b"1,2\n3,"] {
        let scan = read(&csv(), 2, object).unwrap();
        assert_eq!((scan.rows, scan.needs_terminator), (2, true));
    }
    assert!(!read(&csv(), 2, b"1,2\n").unwrap().needs_terminator);
}

#[test]
fn r10_nul_is_data_and_can_be_a_terminator() {
    assert_eq!(rows(&csv(), 2, b"a\0b\n\0\n"), 2);
    assert_eq!(rows(&with_lines(csv(), b"\0"), 2, b"1,2\x003,4\0"), 2);
}

#[test]
fn r10_a_byte_order_mark_is_dropped_from_utf8_only() {
    let object = b"\xEF\xBB\xBF\"a\nb\",c\n";
    let utf8 = read(&csv(), 2, object).unwrap();
    assert_eq!((utf8.data_start, utf8.rows), (3, 1));
    // In latin1 it is text, and the quote after it does not open a field.
    let latin1 = scan(&csv(), "latin1", 2, 0, &[object]).unwrap();
    assert_eq!((latin1.data_start, latin1.rows), (0, 2));
    let only = read(&csv(), 2, b"\xEF\xBB\xBF").unwrap();
    assert_eq!((only.data_start, only.rows, only.needs_terminator), (3, 0, false));
}

#[test]
fn r10_an_object_with_no_more_than_its_header_lines_has_no_rows() {
    for (object, ignore) in
        [(&b"a,b\n"[..], 1), (b"a,b", 1), (b"a,b\n", 5), (b"a,\"b\"", 2), (b"", 1)]
    {
        let scan = scan(&csv(), "utf8mb4", 2, ignore, &[object]).unwrap();
        assert_eq!(
            (scan.rows, scan.data_start, scan.needs_terminator),
            (0, object.len() as u64, false)
        );
    }
}

#[test]
fn s1_the_terminator_is_asked_for_where_the_last_row_has_too_many_fields() {
    assert!(read(&Preset::Mysql.dialect(), 2, b"a\tb\textra").unwrap().needs_terminator);
}

#[test]
fn s2_an_object_that_ends_inside_a_character_is_refused() {
    let (kind, row, offset) = refusal(&csv(), 2, b"1,2\nab\xE4\xB8");
    assert_eq!(
        (kind, row, offset),
        (MalformedKind::InvalidUtf8 { charset: "utf8mb4".into() }, 2, 6)
    );
}

#[test]
fn invalid_utf8_is_refused_at_its_row_and_byte_and_is_fine_in_latin1() {
    let object = b"1,2\n3,\xE4\n";
    let kind = MalformedKind::InvalidUtf8 { charset: "utf8mb4".into() };
    assert_eq!(refusal(&csv(), 2, object), (kind, 2, 6));
    assert_eq!(scan(&csv(), "latin1", 2, 0, &[object]).unwrap().rows, 2);
}

#[test]
fn a_character_of_four_bytes_is_refused_in_utf8mb3() {
    let malformed = scan(&csv(), "utf8mb3", 1, 0, &["ä\n😀\n".as_bytes()]).unwrap_err();
    assert_eq!((malformed.row, malformed.offset), (2, 3));
    assert!(malformed.to_string().contains("set charset to utf8mb4"), "{malformed}");
}

#[test]
fn s4_a_crlf_object_is_refused_where_lines_end_in_lf() {
    assert_eq!(
        refusal(&Preset::Mysql.dialect(), 2, b"1\t2\r\n3\t4\r\n"),
        (wrong(b"\n", b"\r\n"), 1, 3)
    );
    // Where quotes would have hidden it, and at the end, where our own LF completes it.
    assert_eq!(refusal(&csv(), 2, b"1,2\n1,\"2\"\r\n"), (wrong(b"\n", b"\r\n"), 2, 9));
    assert_eq!(refusal(&csv(), 2, b"1,2\n3,4\r"), (wrong(b"\n", b"\r\n"), 2, 7));
    assert_eq!(refusal(&csv(), 1, b"1,2\r\n"), (wrong(b"\n", b"\r\n"), 1, 3));
    let message = read(&csv(), 2, b"1,2\r\n").unwrap_err().to_string();
    assert!(message.contains("set lines-terminated-by to '\\r\\n'"), "{message}");
}

#[test]
fn a_carriage_return_is_data_where_it_is_quoted_escaped_or_inside_a_line() {
    assert_eq!(rows(&csv(), 2, b"a\rb,\"c\r\nd\"\n"), 1);
    assert_eq!(rows(&Preset::Mysql.dialect(), 2, b"a\\\r\nb\n"), 2);
}

#[test]
fn an_lf_object_is_refused_where_lines_end_in_crlf() {
    let dialect = with_lines(csv(), b"\r\n");
    assert_eq!(refusal(&dialect, 2, b"1,2\n3,4\n"), (wrong(b"\r\n", b"\n"), 1, 3));
    assert_eq!(refusal(&dialect, 2, b"1,2\r\n3,\"4\"\n"), (wrong(b"\r\n", b"\n"), 2, 10));
    assert_eq!(refusal(&dialect, 2, b"1,2\r\r\n"), (wrong(b"\r\n", b"\r\r\n"), 1, 3));
    assert_eq!(rows(&dialect, 2, b"1,\"2\n3\"\r\n4\rx,5\r\n"), 2);
}

#[test]
fn detection_goes_by_the_first_line_ending_outside_quotes() {
    let dialect = Preset::Csv.dialect();
    let crlf = read(&dialect, 2, b"\"a\nb\",1\r\nc,2\r\n").unwrap();
    assert_eq!((crlf.rows, crlf.lines_terminated_by.as_slice()), (2, CRLF_BYTES));
    let lf = read(&dialect, 2, b"\"a\r\nb\",1\nc,2").unwrap();
    assert_eq!((lf.rows, lf.lines_terminated_by.as_slice(), lf.needs_terminator), (2, LF, true));
    assert_eq!(read(&dialect, 2, b"a,1").unwrap().lines_terminated_by, LF);
    let header = scan(&dialect, "utf8mb4", 2, 1, &[b"a,b\r\n1,2"]).unwrap();
    assert_eq!((header.rows, header.lines_terminated_by.as_slice()), (1, CRLF_BYTES));
}

const CRLF_BYTES: &[u8] = b"\r\n";

#[test]
fn a_mix_of_line_endings_is_refused_where_it_is_seen() {
    let dialect = Preset::Csv.dialect();
    let mixed = |first, found| MalformedKind::MixedLineEndings { first, found };
    assert_eq!(refusal(&dialect, 2, b"1,2\n3,4\r\n"), (mixed(b"\n", b"\r\n"), 2, 7));
    assert_eq!(refusal(&dialect, 2, b"1,2\r\n3,\"4\"\n"), (mixed(b"\r\n", b"\n"), 2, 10));
}

#[test]
fn lone_carriage_returns_do_not_end_lines_and_are_refused_where_endings_are_detected() {
    let kind = MalformedKind::LoneCarriageReturn;
    assert_eq!(refusal(&Preset::Csv.dialect(), 2, b"1,2\r3,4\r"), (kind.clone(), 1, 3));
    assert_eq!(refusal(&Preset::Csv.dialect(), 2, b"1,2\n3,4\r"), (kind, 2, 7));
    // The only way to load such an object.
    assert_eq!(rows(&with_lines(csv(), b"\r"), 2, b"1,2\r3,4\r"), 2);
}

#[test]
fn an_object_cut_off_inside_a_terminator_is_refused_where_completing_it_would_make_another_row() {
    let dialect = with_lines(Preset::HiveRaw.dialect(), b"##");
    let expected = b"##".to_vec();
    assert_eq!(
        refusal(&dialect, 1, b"a##b#"),
        (MalformedKind::TruncatedTerminator { expected }, 2, 5)
    );
    assert_eq!(rows(&dialect, 1, b"a##b"), 2);
}

#[test]
fn rows_are_numbered_right_far_into_a_long_object() {
    let mut object = b"1,\"two\",\"th\"\"ree\"\n".repeat(5000);
    let valid = object.len();
    object.extend_from_slice(b"4,\"x\"y,\n");
    assert_eq!(rows(&csv(), 3, &object[..valid]), 5000);
    assert_eq!(
        refusal(&csv(), 3, &object),
        (MalformedKind::TextAfterClosingQuote, 5001, valid as u64 + 5)
    );
}

#[test]
fn ordinary_text_is_passed_over_in_words_and_not_read_byte_by_byte() {
    let object = b"1,\"two\",three and more\r\n".repeat(100);
    for (dialect, fields) in
        [(with_lines(csv(), b"\r\n"), 3), (with_lines(Preset::Hive.dialect(), b"\r\n"), 1)]
    {
        let grammar = Grammar::new(&dialect, fields);
        let mut machine = FieldMachine::new(0);
        let passed = fast_path::skip_ordinary(&grammar, &mut machine, &object, 0, 0).unwrap();
        assert!(object.len() - passed < fast_path::WORD_BYTES, "{passed} of {}", object.len());
        assert!(machine.rows >= 97);
    }
}

#[test]
fn what_straddles_two_words_is_read_as_anywhere_else() {
    let endings: [&[u8]; 12] = [
        b"\"a\"\rx\r\n",
        b"\"a\"\r\n",
        b"\"a\"x\r\n",
        b"\"a\"\"\r\nb\"\r\n",
        b"a\\\r\nb\r\n",
        b"\"a\\\"\",b\r\n",
        b"\\\"a\",b\r\n",
        b"a\r\r\n",
        b"\r\n",
        b"a\rb\r\n",
        b"\"a\"\n",
        b"\\\\\r\n",
    ];
    let detect = Dialect { fields_escaped_by: Some(b'\\'), ..Preset::Csv.dialect() };
    for dialect in [with_lines(detect.clone(), b"\r\n"), with_lines(detect.clone(), b"\n"), detect]
    {
        for (ending, padding) in
            endings.iter().flat_map(|ending| (0..140).map(move |padding| (ending, padding)))
        {
            let mut object = b"first\r\n".to_vec();
            object.extend(std::iter::repeat_n(b'x', padding));
            for part in [&b","[..], ending, &b"more text, and more\r\n".repeat(8)] {
                object.extend_from_slice(part);
            }
            let expected = reference::read(&dialect, &Charset::default(), 4, 0, &object);
            assert_eq!(read(&dialect, 4, &object), expected, "{}", object.escape_ascii());
        }
    }
}

/// Returns byte strings over the alphabet of a delimiter.
fn delimiter(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec![
            &b","[..], b"\t", b"\x01", b"||", b"/", b"##", b"''", b"aab", b";\n",
        ])
        .prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(prop::sample::select(b"ab|,\"\\\r\n".to_vec()), 1..=max),
    ]
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let lines = prop_oneof![
        4 => Just(LineTerminator::Exact(b"\n".to_vec())),
        3 => Just(LineTerminator::Exact(b"\r\n".to_vec())),
        3 => Just(LineTerminator::Detect),
        1 => Just(LineTerminator::Exact(b"|\n".to_vec())),
        2 => delimiter(3).prop_map(LineTerminator::Exact),
    ];
    let quote = prop_oneof![2 => Just(None), 3 => Just(Some(b'"')), 1 => Just(Some(b'\''))];
    let escape = prop_oneof![3 => Just(None), 4 => Just(Some(b'\\')), 1 => Just(Some(b'"'))];
    (prop_oneof![2 => Just(b",".to_vec()), 2 => delimiter(3)], quote, escape, lines)
        .prop_map(
            |(fields_terminated_by, fields_enclosed_by, fields_escaped_by, lines_terminated_by)| {
                Dialect {
                    fields_terminated_by,
                    fields_enclosed_by,
                    fields_optionally_enclosed: false,
                    fields_escaped_by,
                    lines_terminated_by,
                }
            },
        )
        .prop_filter("valid", |dialect| dialect.validate(&Charset::default()).is_empty())
}

/// Returns a piece of an object: mostly plain text and whole constructs of the dialect, sometimes a
/// stray delimiter byte.
fn piece(dialect: &Dialect, wild: u32) -> impl Strategy<Value = Vec<u8>> + use<> {
    let line = match &dialect.lines_terminated_by {
        LineTerminator::Exact(line) => line.clone(),
        LineTerminator::Detect => b"\r\n".to_vec(),
    };
    let field = dialect.fields_terminated_by.clone();
    let quoted = |text: &[u8], end: &[u8]| match dialect.fields_enclosed_by {
        Some(quote) => [&[quote], text, &[quote], end].concat(),
        None => [text, end].concat(),
    };
    let escape: Vec<u8> = dialect.fields_escaped_by.into_iter().collect();
    let pairs = [&escape[..], b"N"].concat();
    let escaped_line = [&escape[..], &line].concat();
    let mut strays: Vec<Vec<u8>> =
        vec![b"\r".to_vec(), b"\n".to_vec(), b"\r\n".to_vec(), b"\0".to_vec(), b"\xFF".to_vec()];
    strays.extend(
        field
            .iter()
            .chain(&line)
            .chain(&escape)
            .chain(&dialect.fields_enclosed_by)
            .map(|&byte| vec![byte]),
    );
    let mut whole = vec![
        [b"plain text that is somewhat longer than a word", &field[..]].concat(),
        quoted(b"x", &field),
        quoted(b"", &field),
        quoted("ä€😀".as_bytes(), &field),
        quoted(&[b"a", &field[..], &line, b"b"].concat(), &field),
        pairs,
        escaped_line,
        field.clone(),
        [b"1", &field[..], b"2", &line].concat(),
        quoted(b"end", &line),
        line.clone(),
        [b"1", &field[..]].concat(),
    ];
    if let Some(quote) = dialect.fields_enclosed_by {
        whole.push(quoted(&[b'a', quote, quote], &field));
        whole.push(quoted(&[quote, quote, b'b'], &line));
    }
    prop_oneof![60 => prop::sample::select(whole), wild => prop::sample::select(strays)]
}

#[derive(Clone, Debug)]
struct Case {
    dialect: Dialect,
    charset: &'static str,
    fields: usize,
    ignore: u64,
    object: Vec<u8>,
    cuts: Vec<prop::sample::Index>,
}

fn cases() -> impl Strategy<Value = Case> {
    (dialects(), prop::sample::select(vec![0, 1, 12])).prop_flat_map(|(dialect, wild)| {
        let piece = piece(&dialect, wild).boxed();
        (
            Just(dialect),
            prop::sample::select(vec!["utf8mb4", "latin1"]),
            1..5_usize,
            prop_oneof![3 => Just(0), 1 => 1..4_u64],
            prop_oneof![
                3 => prop::collection::vec(piece.clone(), 0..8),
                2 => prop::collection::vec(piece, 20..120),
            ],
            prop::bool::weighted(0.1),
            prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        )
            .prop_map(|(dialect, charset, fields, ignore, pieces, mark, cuts)| {
                let mut object = if mark { UTF8_BYTE_ORDER_MARK.to_vec() } else { Vec::new() };
                object.extend(pieces.concat());
                Case { dialect, charset, fields, ignore, object, cuts }
            })
    })
}

impl Case {
    fn scan(&self, chunks: &[&[u8]]) -> Result<Scan, Malformed> {
        scan(&self.dialect, self.charset, self.fields, self.ignore, chunks)
    }
}

/// The number of cases: about two seconds in a debug build, for all tests together.
const CASES: u32 = 4000;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_fast_reader_agrees_with_the_plain_one(case in cases()) {
        let charset = Charset::new(case.charset).unwrap();
        let expected =
            reference::read(&case.dialect, &charset, case.fields, case.ignore, &case.object);
        prop_assert_eq!(case.scan(&[&case.object]), expected);
    }

    #[test]
    fn chunking_changes_nothing(case in cases()) {
        let whole = case.scan(&[&case.object]);
        let single: Vec<&[u8]> = case.object.chunks(1).collect();
        prop_assert_eq!(&case.scan(&single), &whole);
        let mut cuts: Vec<usize> =
            case.cuts.iter().map(|cut| cut.index(case.object.len() + 1)).collect();
        cuts.extend([0, case.object.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> =
            cuts.windows(2).map(|pair| &case.object[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&case.scan(&chunks), &whole);
    }
}
