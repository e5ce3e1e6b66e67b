use super::*;
use crate::dialect::{Charset, Dialect};

fn locate(
    dialect: &Dialect,
    charset: &str,
    fields: usize,
    ignore: u64,
    rows: &[u64],
    chunks: &[&[u8]],
) -> Vec<LocatedRow> {
    let rows = rows.iter().copied();
    let mut locator =
        RowLocator::new(dialect, &Charset::new(charset).unwrap(), fields, ignore, rows);
    for chunk in chunks {
        locator.feed(chunk).unwrap();
    }
    locator.finish().unwrap()
}

/// Returns the line and the bytes of one row of two fields.
fn line_and_raw(dialect: &Dialect, ignore: u64, row: u64, object: &[u8]) -> (u64, Vec<u8>) {
    let mut found = locate(dialect, "utf8mb4", 2, ignore, &[row], &[object]);
    assert_eq!(found.len(), 1, "{}", object.escape_ascii());
    let row = found.remove(0);
    (row.line, row.raw)
}

#[test]
fn lines_are_those_that_an_editor_shows() {
    let (csv, mysql) = (Preset::Csv.dialect(), Preset::Mysql.dialect());
    let cases: [(&Dialect, u64, u64, &[u8], u64, &[u8]); 13] = [
        (&mysql, 0, 1, b"1\tx\n2\ty\n", 1, b"1\tx"),
        (&mysql, 0, 2, b"1\tx\n2\ty\n", 2, b"2\ty"),
        (&mysql, 0, 2, b"1\tx\n2\ty", 2, b"2\ty"),
        (&mysql, 0, 2, b"\n\n\n", 2, b""),
        // An escaped line break is one on the screen too.
        (&mysql, 0, 2, b"1\tx\\\ny\n2\ty\\\nz\n3\tz\n", 3, b"2\ty\\\nz"),
        (&csv, 0, 2, b"1,\"x\ny\n\"\n2,\"y\"", 4, b"2,\"y\""),
        (&csv, 0, 2, b"1,\"x\r\ny\"\r\n2,\"y\r\n\"\r\n", 3, b"2,\"y\r\n\""),
        (&csv, 2, 1, b"a,b\r\n\"c\r\nd\",e\r\n1,x\r\n", 4, b"1,x"),
        (&csv, 1, 1, b"\xEF\xBB\xBFa,b\n1,x\n", 2, b"1,x"),
        (&csv, 0, 1, b"\xEF\xBB\xBF1,x\n", 1, b"1,x"),
        (&with_lines(mysql.clone(), b";\n"), 0, 2, b"1\ta\nb;\n2\tb;\n", 3, b"2\tb"),
        (&with_lines(mysql.clone(), b"||"), 0, 3, b"1\ta\nb||2\tb||3\tc|d||", 3, b"3\tc|d"),
        (&with_lines(mysql.clone(), b"\r"), 0, 2, b"1\ta\r2\tb\r", 2, b"2\tb"),
    ];
    for (dialect, ignore, row, object, line, raw) in cases {
        assert_eq!(
            line_and_raw(dialect, ignore, row, object),
            (line, raw.to_vec()),
            "{}",
            object.escape_ascii()
        );
    }
}

#[test]
fn rows_that_the_object_does_not_have_are_not_found() {
    for (object, ignore) in [(&b"1,2\n"[..], 0), (b"1,2\n3,4", 1), (b"", 0), (b"1,2", 2)] {
        assert_eq!(locate(&csv(), "utf8mb4", 2, ignore, &[0, 2, 7], &[object]), []);
    }
}

#[test]
fn a_long_row_is_cut_and_its_length_told() {
    let object = [&b"1,x\n2,\""[..], &b"long\n".repeat(10_000), b"\"\n3,y\n"].concat();
    let found = locate(&csv(), "utf8mb4", 2, 0, &[3, 2], &[&object]);
    assert_eq!((found[0].raw.len(), found[0].size_bytes, found[0].is_cut()), (1024, 50_004, true));
    assert_eq!(
        (found[1].line, found[1].raw.as_slice(), found[1].is_cut()),
        (10_003, &b"3,y"[..], false)
    );
}

#[test]
fn rows_far_into_a_long_object_are_found_without_reading_what_follows() {
    let object = b"1,\"two\",\"th\n\"\"ree\"\n".repeat(50_000);
    let rows = [1, 2, 3, 4999, 25_000, 25_001, 50_000];
    let found = locate(&csv(), "utf8mb4", 3, 0, &rows, &object.chunks(60_001).collect::<Vec<_>>());
    let places: Vec<(u64, u64, u64)> =
        found.iter().map(|row| (row.row, row.line, row.offset)).collect();
    assert_eq!(places, rows.map(|row| (row, 2 * row - 1, 19 * (row - 1))));
    assert!(found.iter().all(|row| row.raw == b"1,\"two\",\"th\n\"\"ree\""));

    let mut locator = RowLocator::new(&csv(), &Charset::default(), 3, 0, [2]);
    locator.feed(&object[..1000]).unwrap();
    assert!(locator.is_done());
}

/// Returns the length of the row's terminator, which only the last row may lack.
fn terminator_bytes(place: &reference::RowPlace, object: &[u8], scan: &Scan) -> u64 {
    if object[place.end..].starts_with(&scan.lines_terminated_by) {
        scan.lines_terminated_by.len() as u64
    } else {
        0
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn rows_are_found_where_the_plain_reader_sees_them(
        case in cases(),
        chosen in any::<u64>(),
        repeated in 1..24_usize,
    ) {
        let charset = Charset::new(case.charset).unwrap();
        // Long enough for the fast path.
        let long = Case { object: case.object.repeat(repeated), ..case.clone() };
        for Case { dialect, fields, ignore, object, cuts, .. } in [&case, &long] {
            let Ok(scan) = reference::read(dialect, &charset, *fields, *ignore, object) else {
                continue;
            };
            let places = reference::places(dialect, &charset, *fields, *ignore, object).unwrap();
            prop_assert_eq!(places.len() as u64, scan.rows);
            let wanted: Vec<u64> =
                (1..=scan.rows).filter(|row| chosen >> (row % 64) & 1 != 0).collect();
            let expected: Vec<LocatedRow> = wanted.iter().map(|&row| {
                let place = &places[usize::try_from(row - 1).unwrap()];
                let raw = &object[place.start..place.end];
                LocatedRow {
                    row,
                    offset: place.start as u64,
                    line: place.line,
                    raw: raw[..raw.len().min(1024)].to_vec(),
                    size_bytes: raw.len() as u64,
                    end: (place.start + raw.len()) as u64 + terminator_bytes(place, object, &scan),
                }
            }).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(object.len() + 1)).collect();
            cuts.extend([0, object.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &object[pair[0]..pair[1]]).collect();
            let small: Vec<&[u8]> =
                object.chunks(if object.len() < 500 { 1 } else { 47 }).collect();
            for chunks in [&chunks, &small] {
                prop_assert_eq!(
                    &locate(dialect, case.charset, *fields, *ignore, &wanted, chunks),
                    &expected
                );
                let mut every = RowLocator::every(dialect, &charset, *fields, *ignore);
                let mut found = Vec::new();
                for chunk in chunks {
                    every.feed(chunk).unwrap();
                    found.extend(every.take());
                }
                found.extend(every.finish().unwrap());
                let chosen = |row: &&LocatedRow| chosen >> (row.row % 64) & 1 != 0;
                let places = |rows: &[LocatedRow]| -> Vec<(u64, u64, u64, u64, u64)> {
                    rows.iter()
                        .filter(chosen)
                        .map(|row| (row.row, row.offset, row.line, row.size_bytes, row.end))
                        .collect()
                };
                prop_assert_eq!(found.len() as u64, scan.rows);
                prop_assert_eq!(places(&found), places(&expected));
            }
        }
    }
}
