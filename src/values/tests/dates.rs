use super::rows::Expected::{As, Bad, Exact, Loss, Server as Judged};
use super::rows::{SERVERS, Table, check, ensure_table, rule};
use crate::values::{BadKind, LossKind, Readings, Server};

pub(super) const DATES: [Table; 1] = [(
    "date",
    &[
        ("2023-12-31", Exact("2023-12-31")),
        ("2023-1-5", Exact("2023-01-05")),
        ("20231231", Exact("2023-12-31")),
        ("2024-02-29", Exact("2024-02-29")),
        ("0000-01-01", Exact("0000-01-01")),
        ("2023/12/31", As("2023-12-31")),
        ("2023/1/5", As("2023-01-05")),
        (" 2023-12-31", As("2023-12-31")),
        ("2023-12-31 00:00:00", As("2023-12-31")),
        ("2023-12-31T00:00:00.000", As("2023-12-31")),
        ("2023-12-31 01:00:00", Loss(LossKind::TimeOfDay, "2023-12-31")),
        ("2023-12-31T00:00:00.001", Loss(LossKind::TimeOfDay, "2023-12-31")),
        ("31-12-23", Bad(BadKind::DateOrder)),
        ("03/04/05", Bad(BadKind::DateOrder)),
        ("12/31/2023", Bad(BadKind::DateOrder)),
        ("31.12.2023", Bad(BadKind::DateOrder)),
        ("231231", Bad(BadKind::DateOrder)),
        ("2023-02-29", Bad(BadKind::NoSuchDate)),
        ("0000-02-29", Bad(BadKind::NoSuchDate)),
        ("0000-00-00", Bad(BadKind::NoSuchDate)),
        ("2023-00-01", Bad(BadKind::NoSuchDate)),
        ("2023-13-01", Bad(BadKind::NoSuchDate)),
        ("2023-12-31Z", Bad(BadKind::OffsetInDate)),
        ("2023-12-31T00:00:00Z", Bad(BadKind::OffsetInDate)),
        ("1700000000", Bad(BadKind::EpochSeconds)),
        ("2023.12.31", Bad(BadKind::NotADate)),
        ("2023-12/31", Bad(BadKind::NotADate)),
        ("2023-12", Bad(BadKind::NotADate)),
        ("10000-01-01", Bad(BadKind::NotADate)),
        ("2023-012-31", Bad(BadKind::NotADate)),
        ("2023-12-31x", Bad(BadKind::NotADate)),
        ("2023-12-31 24:00:00", Bad(BadKind::NotADate)),
        ("2023\u{2013}12\u{2013}31", Bad(BadKind::NotADate)),
        ("2023-12-31\0", Bad(BadKind::NotADate)),
        ("", Bad(BadKind::Empty)),
    ],
)];

pub(super) const TIMES: [Table; 4] = [
    (
        "datetime",
        &[
            ("2023-12-31 01:02:03", Exact("2023-12-31 01:02:03")),
            ("2023-12-31T01:02:03", Exact("2023-12-31 01:02:03")),
            ("2023-1-5 1:2", Exact("2023-01-05 01:02:00")),
            ("2023-12-31", Exact("2023-12-31 00:00:00")),
            ("20231231", Exact("2023-12-31 00:00:00")),
            ("2023/12/31 01:02:03", As("2023-12-31 01:02:03")),
            ("20231231 01:02:03", As("2023-12-31 01:02:03")),
            ("2023-12-31 01:02:03 ", As("2023-12-31 01:02:03")),
            ("2023-12-31 01:02:03.000", As("2023-12-31 01:02:03")),
            ("2026-04-15T13:51:30Z", As("2026-04-15 13:51:30")),
            ("2026-04-15T15:51:30+02:00", As("2026-04-15 13:51:30")),
            ("2026-04-15T15:51:30+0200", As("2026-04-15 13:51:30")),
            ("2026-04-15 15:51:30+02", As("2026-04-15 13:51:30")),
            ("2026-04-15 15:51:30 +02:00", As("2026-04-15 13:51:30")),
            ("2023-01-01T00:30:00+01:00", As("2022-12-31 23:30:00")),
            ("2026-12-31 23:59:59.999", Loss(LossKind::Fraction, "2026-12-31 23:59:59")),
            ("2023-12-31T01:02:03.5Z", Loss(LossKind::Fraction, "2023-12-31 01:02:03")),
            ("2023-12-31Z", Bad(BadKind::NotADateTime)),
            ("2023-12-31t01:02:03", Bad(BadKind::NotADateTime)),
            ("2023-12-31 01", Bad(BadKind::NotADateTime)),
            ("2023-12-31 01:02:60", Bad(BadKind::NotADateTime)),
            ("2023-12-31 24:00:00", Bad(BadKind::NotADateTime)),
            ("2023-12-31  01:02:03", Bad(BadKind::NotADateTime)),
            ("2023-12-31 01:02:03,5", Bad(BadKind::NotADateTime)),
            ("2023-12-31 01:02:03 AM", Bad(BadKind::NotADateTime)),
            ("20231231010203", Bad(BadKind::NotADateTime)),
            ("2023-02-30 01:02:03", Bad(BadKind::NoSuchDate)),
            ("0000-00-00 00:00:00", Bad(BadKind::NoSuchDate)),
            ("31.12.2023 01:02", Bad(BadKind::DateOrder)),
            ("1700000000", Bad(BadKind::EpochSeconds)),
            ("1700000000.5", Bad(BadKind::EpochSeconds)),
            ("0000-01-01T00:00:00+01:00", Bad(BadKind::OutOfRange)),
            ("", Bad(BadKind::Empty)),
        ],
    ),
    (
        "datetime(6)",
        &[
            ("2026-04-15T13:51:30.935291", Exact("2026-04-15 13:51:30.935291")),
            ("2026-04-15T13:51:30.935291+00:00", As("2026-04-15 13:51:30.935291")),
            ("2026-04-15 13:51:30.9352910", As("2026-04-15 13:51:30.935291")),
            ("2026-04-15 13:51:30.1234567", Loss(LossKind::Fraction, "2026-04-15 13:51:30.123456")),
        ],
    ),
    (
        "timestamp",
        &[
            ("1970-01-01 00:00:01", Exact("1970-01-01 00:00:01")),
            ("2038-01-19 03:14:07", Exact("2038-01-19 03:14:07")),
            ("2038-01-19 05:14:07+02:00", As("2038-01-19 03:14:07")),
            ("2026-04-15T13:51:30Z", As("2026-04-15 13:51:30")),
            ("1970-01-01 00:00:00", Bad(BadKind::OutOfRange)),
            ("1969-12-31 23:59:59", Bad(BadKind::OutOfRange)),
            ("1970-01-01 01:00:00+02:00", Bad(BadKind::OutOfRange)),
            ("2200-01-01", Bad(BadKind::OutOfRange)),
        ],
    ),
    (
        "time(1)",
        &[
            ("1:02", Exact("01:02:00.0")),
            ("-01:02:03.5", Exact("-01:02:03.5")),
            ("838:59:59", Exact("838:59:59.0")),
            ("24:00:00", Exact("24:00:00.0")),
            (" 1:02:03", As("01:02:03")),
            ("01:02:03.50", As("01:02:03.5")),
            ("100:00:00.00", As("100:00:00.0")),
            ("01:02:03.59", Loss(LossKind::Fraction, "01:02:03.5")),
            ("838:59:59.01", Loss(LossKind::Fraction, "838:59:59.0")),
            ("839:00:00", Bad(BadKind::OutOfRange)),
            ("530", Bad(BadKind::TimeWithoutColon)),
            ("05.30", Bad(BadKind::TimeWithoutColon)),
            ("2023-01-01 01:02:03", Bad(BadKind::DateBeforeTime)),
            ("01:60", Bad(BadKind::NotATime)),
            ("1:2", Bad(BadKind::NotATime)),
            ("1 01:02:03", Bad(BadKind::NotATime)),
            ("01:02:03Z", Bad(BadKind::NotATime)),
            ("01:02:", Bad(BadKind::NotATime)),
            ("+01:02", Bad(BadKind::NotATime)),
            ("", Bad(BadKind::Empty)),
        ],
    ),
];

pub(super) const YEARS: [Table; 1] = [(
    "year(4)",
    &[
        ("1901", Exact("1901")),
        ("2155", Exact("2155")),
        ("0000", Exact("0000")),
        ("0000 ", As("0000")),
        (" 0000", As("0000")),
        ("1900", Bad(BadKind::OutOfRange)),
        ("2156", Bad(BadKind::OutOfRange)),
        ("0", Bad(BadKind::NotAYear)),
        ("69", Bad(BadKind::NotAYear)),
        ("2024.6", Bad(BadKind::NotAYear)),
        ("02026", Bad(BadKind::NotAYear)),
        ("2e3", Bad(BadKind::NotAYear)),
        ("+202", Bad(BadKind::NotAYear)),
        ("", Bad(BadKind::Empty)),
    ],
)];

#[test]
fn dates_begin_with_four_digits_of_the_year() {
    ensure_table(&DATES, &SERVERS, &Readings::default());
}

#[test]
fn times_are_cut_to_the_columns_digits_and_offsets_are_instants() {
    ensure_table(&TIMES, &SERVERS, &Readings::default());
}

#[test]
fn years_have_four_digits() {
    ensure_table(&YEARS, &SERVERS, &Readings::default());
}

#[test]
fn what_only_some_servers_have_in_a_time_is_theirs_to_judge() {
    let after_2038 = ("2038-01-19 03:14:08", "timestamp");
    let before_second_one = ("1970-01-01 00:00:00.5", "timestamp(1)");
    for (text, column_type) in [after_2038, before_second_one] {
        for (server, expected) in
            [(Server::MySql, Bad(BadKind::OutOfRange)), (Server::MariaDb, Judged)]
        {
            let table: &'static [_] = Box::leak(Box::new([(text, expected)]));
            ensure_table(&[(column_type, table)], &[server], &Readings::default());
        }
    }
    let last = [("time(1)", &[("838:59:59.5", Bad(BadKind::OutOfRange))][..])];
    ensure_table(&last, &[Server::MySql], &Readings::default());
    let last = [("time(1)", &[("838:59:59.5", Exact("838:59:59.5"))][..])];
    ensure_table(&last, &[Server::MariaDb], &Readings::default());
}

#[test]
fn a_time_zone_moves_instants_and_the_times_of_timestamps() {
    let readings = |zone: &str| Readings {
        time_zone: Readings::time_zone_named(zone).unwrap(),
        ..Readings::default()
    };
    let rome = readings("Europe/Rome");
    let tables: [Table; 2] = [
        (
            "datetime",
            &[
                ("2026-07-01 12:00:00", Exact("2026-07-01 12:00:00")),
                ("2026-03-29 02:30:00", Exact("2026-03-29 02:30:00")),
                ("2026-07-01T12:00:00Z", As("2026-07-01 14:00:00")),
                ("2026-01-01T12:00:00-05:00", As("2026-01-01 18:00:00")),
            ],
        ),
        (
            "timestamp",
            &[
                ("2026-07-01 12:00:00", As("2026-07-01 10:00:00")),
                ("2026-01-01 00:30:00", As("2025-12-31 23:30:00")),
                ("2026-07-01T12:00:00Z", As("2026-07-01 12:00:00")),
                ("2026-03-29 02:30:00", Bad(BadKind::SkippedByZone)),
                ("2026-10-25 02:30:00", Bad(BadKind::TwiceInZone)),
                ("2026-10-25 02:30:00+01:00", As("2026-10-25 01:30:00")),
                ("1970-01-01 01:00:00", Bad(BadKind::OutOfRange)),
                ("1970-01-01 01:00:01", As("1970-01-01 00:00:01")),
            ],
        ),
    ];
    ensure_table(&tables, &SERVERS, &rome);
    let fixed = rule("timestamp", Server::MySql, &readings("-03:30"));
    assert_eq!(check(&fixed, "2026-01-01 00:00:00").1, "2026-01-01 03:30:00");
    for zone in ["UTC", "Z", "+00:00"] {
        ensure_table(&TIMES, &SERVERS, &readings(zone));
    }
    assert!(Readings::time_zone_named("Europe/Nowhere").is_err());
}
