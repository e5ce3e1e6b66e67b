use super::*;
use crate::dialect::{Charset, Dialect};

/// The bytes of each part with the boundary at which it begins, and the result for the object.
type Cut = (Vec<(Boundary, Vec<u8>)>, Result<(Boundary, Scan), Malformed>);

fn cut<'a>(
    case: &Case,
    from: &Boundary,
    size: u64,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Cut {
    let charset = Charset::new(case.charset).unwrap();
    let reader = RowReader::new(&case.dialect, &charset, case.fields, case.ignore);
    let mut splitter = PartSplitter::new(reader, from, size);
    let mut parts = vec![(*from, Vec::new())];
    let mut steps = Vec::new();
    for chunk in chunks {
        steps.extend(splitter.feed(Bytes::copy_from_slice(chunk)));
        if matches!(steps.last(), Some(SplitStep::Broken(_))) {
            break;
        }
    }
    if !matches!(steps.last(), Some(SplitStep::Broken(_))) {
        steps.extend(splitter.finish());
    }
    for step in steps {
        match step {
            SplitStep::Bytes(bytes) => parts.last_mut().unwrap().1.extend_from_slice(&bytes),
            SplitStep::Boundary(boundary) => parts.push((boundary, Vec::new())),
            SplitStep::End(end, scan) => return (parts, Ok((end, scan))),
            SplitStep::Broken(malformed) => return (parts, Err(malformed)),
        }
    }
    unreachable!("a splitter ends with the end")
}

fn csv_case(object: &[u8], ignore: u64) -> Case {
    Case {
        dialect: Preset::Csv.dialect(),
        charset: "utf8mb4",
        fields: 2,
        ignore,
        object: object.to_vec(),
        cuts: Vec::new(),
    }
}

fn starts(case: &Case, size: u64) -> Vec<u64> {
    cut(case, &Boundary::default(), size, [&case.object[..]])
        .0
        .iter()
        .map(|(start, _)| start.offset)
        .collect()
}

#[test]
fn a_part_begins_at_the_first_row_at_or_after_a_multiple_of_the_size() {
    let case = csv_case(b"1,a\n2,b\n3,c\n4,d\n", 0);
    assert_eq!(starts(&case, 4), [0, 4, 8, 12]);
    assert_eq!(starts(&case, 5), [0, 8, 12]);
    assert_eq!(starts(&case, 9), [0, 12]);
    assert_eq!(starts(&case, 15), [0]);
    assert_eq!(starts(&case, 1), [0, 4, 8, 12]);
}

#[test]
fn a_line_break_that_belongs_to_a_value_is_no_boundary() {
    let case = csv_case(b"1,\"a\n,\n\"\"\n\"\n2,b\n", 0);
    assert_eq!(starts(&case, 3), [0, 12]);
}

#[test]
fn a_row_longer_than_several_parts_leaves_their_numbers_out() {
    let case = csv_case(&[&b"1,"[..], &[b'x'; 100], b"\n2,b\n3,c\n"].concat(), 0);
    assert_eq!(starts(&case, 10), [0, 103]);
}

#[test]
fn header_lines_are_no_part_by_themselves() {
    let case = csv_case(b"\xEF\xBB\xBFhead,line\r\nsecond,\"\r\n\"\r\n1,a\r\n2,b\r\n", 2);
    let (parts, end) = cut(&case, &Boundary::default(), 5, [&case.object[..]]);
    let places: Vec<(u64, u64, u64)> =
        parts.iter().map(|(start, _)| (start.offset, start.rows, start.lines)).collect();
    assert_eq!(places, [(0, 0, 0), (32, 1, 4)]);
    assert_eq!(parts[1].0.ending, Some(LineEnding::CrLf));
    assert_eq!(end.unwrap().1.data_start, 27);
}

#[test]
fn what_comes_before_a_malformed_row_is_whole_parts() {
    let case = csv_case(b"1,a\n2,b\n3,\"c\"x\n4,d\n", 0);
    let (parts, end) = cut(&case, &Boundary::default(), 4, [&case.object[..]]);
    let whole: Vec<&[u8]> = parts[..2].iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(whole, [b"1,a\n", b"2,b\n"]);
    assert_eq!(end.unwrap_err().row, 3);
}

#[test]
fn what_can_be_split_is_known_by_dialect_and_character_set() {
    let can =
        |dialect: Dialect, charset: &str| can_split(&dialect, &Charset::new(charset).unwrap());
    assert!(can(csv(), "utf8mb4") && can(csv(), "latin1") && can(csv(), "binary"));
    assert!(can(with_lines(csv(), b"|\n"), "utf8mb4") && can(with_lines(csv(), b"\r"), "utf8mb4"));
    assert!(!can(with_lines(csv(), b"||"), "utf8mb4"));
    for charset in ["gbk", "sjis", "big5", "gb18030", "ujis"] {
        assert!(!can(csv(), charset), "{charset}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES / 8,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn parts_are_the_rows_of_the_whole_however_it_comes(
        case in cases(), size in prop_oneof![1..20_u64, 20..300_u64], repeated in 1..12_usize,
    ) {
        let charset = Charset::new(case.charset).unwrap();
        prop_assume!(can_split(&case.dialect, &charset));
        let long = Case { object: case.object.repeat(repeated), ..case.clone() };
        for case in [&case, &long] {
            let Case { dialect, fields, ignore, object, cuts, .. } = case;
            let Ok(scan) = reference::read(dialect, &charset, *fields, *ignore, object) else {
                continue;
            };
            let places = reference::places(dialect, &charset, *fields, *ignore, object).unwrap();
            let mut next = size;
            let mut expected = vec![(0, 0, 0)];
            for (rows, place) in places.iter().enumerate().skip(1) {
                let offset = place.start as u64;
                if offset >= next {
                    expected.push((offset, rows as u64, place.line - 1));
                    next = (offset / size + 1) * size;
                }
            }

            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(object.len() + 1)).collect();
            cuts.extend([0, object.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &object[pair[0]..pair[1]]).collect();
            let small: Vec<&[u8]> =
                object.chunks(if object.len() < 500 { 1 } else { 47 }).collect();
            let (parts, end) = cut(case, &Boundary::default(), size, chunks);
            let found: Vec<(u64, u64, u64)> =
                parts.iter().map(|(start, _)| (start.offset, start.rows, start.lines)).collect();
            prop_assert_eq!(&found, &expected);
            let joined: Vec<u8> = parts.iter().flat_map(|(_, bytes)| bytes).copied().collect();
            prop_assert_eq!(&joined, object);
            let (end, ended) = end.unwrap();
            prop_assert_eq!(&ended, &scan);
            prop_assert_eq!(&cut(case, &Boundary::default(), size, small).0, &parts);

            // Each part is read by itself as it was in the whole, and the bytes after it are cut as
            // before.
            let mut every = RowLocator::every(dialect, &charset, *fields, *ignore);
            every.feed(object).unwrap();
            let rows = every.finish().unwrap();
            let ends = parts.iter().skip(1).map(|(start, _)| *start).chain([end]);
            for (index, ((start, bytes), end)) in parts.iter().zip(ends).enumerate() {
                let mut reader =
                    RowReader::new(dialect, &charset, *fields, *ignore).beginning_at(start);
                reader.feed(bytes).unwrap();
                let alone = reader.finish().unwrap();
                prop_assert_eq!(alone.rows, end.rows);
                prop_assert_eq!(
                    alone.needs_terminator,
                    scan.needs_terminator && index + 1 == parts.len()
                );
                let mut locator =
                    RowLocator::every(dialect, &charset, *fields, *ignore).beginning_at(start);
                locator.feed(bytes).unwrap();
                let located = locator.finish().unwrap();
                let of_part =
                    usize::try_from(start.rows).unwrap()..usize::try_from(end.rows).unwrap();
                prop_assert_eq!(&located[..], &rows[of_part]);
                let rest = &object[usize::try_from(start.offset).unwrap()..];
                prop_assert_eq!(&cut(case, start, size, [rest]).0[..], &parts[index..]);
            }
        }
    }
}
