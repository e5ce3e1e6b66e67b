//! The benchmarks, with their names and goals.

use std::time::Duration;

use super::contender::Contender::{self, Floor, Ours, OursWith, Pipeline, Python};
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
