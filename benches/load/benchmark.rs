//! The benchmarks, with their names and goals.

use std::time::Duration;

use super::contender::Contender::{
    self, Floor, Gunzip, Ours, OursFrom, OursWith, Pipeline, Python,
};
use super::contender::{Folder, Rows};
use super::link::Shape;
use super::scene::Distance;
use super::workload::Data;

pub(crate) struct Benchmark {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) data: Data,
    /// The data of a `--quick` run, which only shows that everything works.
    pub(crate) quick: Data,
    pub(crate) distance: Distance,
    pub(crate) contenders: &'static [Contender],
    pub(crate) goals: &'static [Goal],
}

pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) figure: Figure,
    pub(crate) bound: Bound,
}

/// A figure to compare with a goal. Except for the peak memory, it is the median over the rounds.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    /// The first contender's time, divided by the second's in the same round.
    Time(Contender, Contender),
    /// The same ratio for the server's CPU time.
    ServerCpu(Contender, Contender),
    ClientCpuPer100Megabytes(Contender),
    PeakMegabytes(Contender),
    /// The bytes of the objects, divided by what the path can carry in the run's time.
    ShareOfPath(Contender),
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A slow path: 50 Mbit/s, with a round trip of 150 ms.
const SLOW: Shape =
    Shape { round_trip: Duration::from_millis(150), bytes_per_second: Some(6_250_000) };
const NEAR: Distance = Distance { answer_delay: Duration::ZERO, path: None };
const ALL: &[Contender] = &[Floor, Ours, Pipeline, Python];
/// A swap, because it begins with an empty table with indexes each time.
const INTO_INDEXES: Contender = OursWith(&["--mode", "swap"]);
const INDEXES_LAST: Contender = OursWith(&["--mode", "swap", "--defer-indexes"]);

const CSV: Folder = Folder { name: "csv", packed_by: &[], rows: Rows::Csv };
const GZIP: Folder = Folder { name: "gzip", packed_by: &["gzip", "-c"], ..CSV };
const ZSTD: Folder = Folder { name: "zstd", packed_by: &["zstd", "-q", "-c"], ..CSV };
const JSON_LINES: Folder = Folder { name: "jsonl", packed_by: &[], rows: Rows::JsonLines };
const XZ: Folder = Folder { name: "xz", packed_by: &["xz", "-9", "-c"], ..CSV };
const LONG_ZSTD: Folder =
    Folder { name: "zstd-long", packed_by: &["zstd", "-q", "--long=27", "-c"], ..CSV };

const HIVE: Folder = Folder { name: "plain", packed_by: &[], rows: Rows::Hive };
const HIVE_GZIP: Folder = Folder { name: "gzip", packed_by: &["gzip", "-c"], rows: Rows::Hive };

const CLIENT_CPU: Goal = Goal {
    what: "client CPU s per 100 MB",
    figure: Figure::ClientCpuPer100Megabytes(Ours),
    bound: Bound::AtMost(0.3),
};
const MEMORY: Goal = Goal {
    what: "peak memory in MB",
    figure: Figure::PeakMegabytes(Ours),
    bound: Bound::AtMost(64.0),
};

const fn of_floor(at_most: f64) -> Goal {
    Goal {
        what: "time, of the floor's",
        figure: Figure::Time(Ours, Floor),
        bound: Bound::AtMost(at_most),
    }
}

const fn from_folder(folder: Folder, what: &'static str, at_most: f64) -> Goal {
    let figure = Figure::Time(OursFrom(folder), Floor);
    Goal { what, figure, bound: Bound::AtMost(at_most) }
}

const fn memory(folder: Folder, what: &'static str, at_most: f64) -> Goal {
    Goal { what, figure: Figure::PeakMegabytes(OursFrom(folder)), bound: Bound::AtMost(at_most) }
}

pub(crate) const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "files",
        title: "144 files of 9,000 rows",
        data: Data::Hive { files: 144, rows: 9000 },
        quick: Data::Hive { files: 24, rows: 3000 },
        distance: NEAR,
        contenders: ALL,
        goals: &[of_floor(1.10), CLIENT_CPU, MEMORY],
    },
    Benchmark {
        name: "delayed",
        title: "144 files of 9,000 rows, every answer of the store's delayed by 40 ms",
        data: Data::Hive { files: 144, rows: 9000 },
        quick: Data::Hive { files: 24, rows: 3000 },
        distance: Distance { answer_delay: Duration::from_millis(40), path: None },
        contenders: ALL,
        goals: &[of_floor(1.12), MEMORY],
    },
    Benchmark {
        name: "small",
        title: "10,000 files of 100 rows",
        data: Data::Hive { files: 10_000, rows: 100 },
        quick: Data::Hive { files: 500, rows: 100 },
        distance: NEAR,
        contenders: ALL,
        goals: &[
            of_floor(1.3),
            Goal {
                what: "server CPU, of the floor's",
                figure: Figure::ServerCpu(Ours, Floor),
                bound: Bound::AtMost(0.65),
            },
            MEMORY,
        ],
    },
    Benchmark {
        name: "large",
        title: "one object of 1 GB; the floor has it in 16 files",
        data: Data::Large { rows: 12_200_000 },
        quick: Data::Large { rows: 160_000 },
        distance: NEAR,
        contenders: &[Floor, Ours],
        goals: &[of_floor(1.15), CLIENT_CPU, MEMORY],
    },
    Benchmark {
        name: "lineitem",
        title: "TPC-H lineitem, scale 1, 16 csv files",
        data: Data::Tpch { files: 16, scale: 1.0 },
        quick: Data::Tpch { files: 16, scale: 0.02 },
        distance: NEAR,
        contenders: &[Floor, Ours, Pipeline],
        goals: &[of_floor(1.08), CLIENT_CPU, MEMORY],
    },
    Benchmark {
        name: "packed",
        title: "TPC-H lineitem, scale 0.25, 16 files, packed and as JSON Lines; the floor is plain",
        data: Data::TpchIn { files: 16, scale: 0.25, folders: &[CSV, GZIP, ZSTD, JSON_LINES] },
        quick: Data::TpchIn { files: 16, scale: 0.02, folders: &[CSV, GZIP, ZSTD, JSON_LINES] },
        distance: NEAR,
        contenders: &[
            Floor,
            OursFrom(CSV),
            OursFrom(GZIP),
            OursFrom(ZSTD),
            OursFrom(JSON_LINES),
            Gunzip,
        ],
        goals: &[
            from_folder(GZIP, "time with gzip, of the floor's", 1.08),
            from_folder(ZSTD, "time with zstd, of the floor's", 1.06),
            from_folder(JSON_LINES, "time with JSON Lines, of the floor's", 1.25),
            memory(GZIP, "peak memory in MB with gzip", 64.0),
            memory(ZSTD, "peak memory in MB with zstd", 64.0),
            memory(JSON_LINES, "peak memory in MB with JSON Lines", 64.0),
        ],
    },
    Benchmark {
        name: "small-packed",
        title: "10,000 files of 100 rows, plain and packed by gzip",
        data: Data::HiveIn { files: 10_000, rows: 100, folders: &[HIVE, HIVE_GZIP] },
        quick: Data::HiveIn { files: 500, rows: 100, folders: &[HIVE, HIVE_GZIP] },
        distance: NEAR,
        contenders: &[OursFrom(HIVE), OursFrom(HIVE_GZIP)],
        goals: &[Goal {
            what: "time with gzip, of the plain files'",
            figure: Figure::Time(OursFrom(HIVE_GZIP), OursFrom(HIVE)),
            bound: Bound::AtMost(1.1),
        }],
    },
    Benchmark {
        name: "large-windows",
        title: "TPC-H lineitem, scale 0.25, 4 files, packed by xz -9 and zstd --long=27",
        data: Data::TpchIn { files: 4, scale: 0.25, folders: &[XZ, LONG_ZSTD] },
        quick: Data::TpchIn { files: 4, scale: 0.02, folders: &[XZ, LONG_ZSTD] },
        distance: NEAR,
        contenders: &[Floor, OursFrom(XZ), OursFrom(LONG_ZSTD)],
        goals: &[
            memory(XZ, "peak memory in MB with xz -9", 96.0),
            memory(LONG_ZSTD, "peak memory in MB with zstd --long", 96.0),
        ],
    },
    Benchmark {
        name: "indexes",
        title: "144 files into a table with three secondary indexes, swapped in",
        data: Data::Indexed { files: 144, rows: 9000 },
        quick: Data::Indexed { files: 24, rows: 3000 },
        distance: NEAR,
        contenders: &[INTO_INDEXES, INDEXES_LAST],
        goals: &[
            Goal {
                what: "times faster than into the indexes",
                figure: Figure::Time(INTO_INDEXES, INDEXES_LAST),
                bound: Bound::AtLeast(1.4),
            },
            Goal {
                what: "peak memory in MB",
                figure: Figure::PeakMegabytes(INDEXES_LAST),
                bound: Bound::AtMost(64.0),
            },
        ],
    },
    Benchmark {
        name: "far",
        title: "144 files, 150 ms and 50 Mbit/s from store and database",
        data: Data::Hive { files: 144, rows: 9000 },
        quick: Data::Hive { files: 24, rows: 3000 },
        distance: Distance { answer_delay: Duration::ZERO, path: Some(SLOW) },
        contenders: &[Ours, Python],
        goals: &[
            Goal {
                what: "share of the path in use",
                figure: Figure::ShareOfPath(Ours),
                bound: Bound::AtLeast(0.9),
            },
            Goal {
                what: "times faster than the Python loader",
                figure: Figure::Time(Python, Ours),
                bound: Bound::AtLeast(3.0),
            },
            MEMORY,
        ],
    },
    Benchmark {
        name: "bad-rows",
        title: "one object of a million rows, 200,000 of them bad or duplicates, rejected; \
                the floor ignores them",
        data: Data::BadRows { rows: 1_000_000, bad: 200_000 },
        quick: Data::BadRows { rows: 20_000, bad: 2000 },
        distance: NEAR,
        contenders: &[Floor, Ours],
        goals: &[of_floor(1.3), MEMORY],
    },
    Benchmark {
        name: "few-bad-rows",
        title: "one object of a hundred thousand rows, 100 of them bad or duplicates, rejected; \
                the floor ignores them",
        data: Data::BadRows { rows: 100_000, bad: 100 },
        quick: Data::BadRows { rows: 20_000, bad: 20 },
        distance: NEAR,
        contenders: &[Floor, Ours],
        goals: &[of_floor(1.3), MEMORY],
    },
];
