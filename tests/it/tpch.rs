//! Real data: TPC-H's `lineitem` at scale 0.1, in its usual forms.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::tpch::{self, COLUMNS, Form, Generator, Sums};
use crate::support::values::ensure_values;

const SCALE: f64 = 0.1;
/// The number that TPC-H's own documents give for this scale.
const ROWS: u64 = 600_572;
const PARTS: i32 = 8;

/// The parts in both forms, with the sums of their rows.
struct Lineitem {
    bars: Vec<bytes::Bytes>,
    csv: Vec<bytes::Bytes>,
    sums: Sums,
    /// The sums of the last part alone.
    last: Sums,
}

/// Returns data that is made once for the tests that run at the same time, and dropped with the
/// last of them.
fn lineitem() -> Result<Arc<Lineitem>> {
    static MADE: Mutex<Weak<Lineitem>> = Mutex::new(Weak::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lineitem) = made.upgrade() {
        return Ok(lineitem);
    }
    let generator = Generator::new(SCALE, PARTS);
    let (mut bars, mut csv) = (Vec::new(), Vec::new());
    let (mut sums, mut last) = (Sums::default(), Sums::default());
    for part in 1..=PARTS {
        last = Sums::default();
        let (mut as_bars, mut as_csv) = (Vec::new(), Vec::new());
        generator.write(
            part,
            &mut last,
            &mut [(Form::Bars, &mut as_bars), (Form::Csv, &mut as_csv)],
        )?;
        bars.push(as_bars.into());
        csv.push(as_csv.into());
        sums.merge(&last);
    }
    ensure!(sums.rows == ROWS, "{} rows", sums.rows);
    let lineitem = Arc::new(Lineitem { bars, csv, sums, last });
    *made = Arc::downgrade(&lineitem);
    Ok(lineitem)
}

/// Loads objects into a table of its own and compares it with these sums.
async fn load_and_compare(
    env: &TestEnv,
    objects: &[bytes::Bytes],
    args: &[&str],
    sums: &Sums,
) -> Result<()> {
    env.schema.exec(&tpch::create_table("lineitem")).await?;
    for (number, object) in objects.iter().enumerate() {
        env.put(&format!("lineitem/{number}"), object.clone())?;
    }
    let ended = env.load_ending(0, "lineitem", args).await?;
    ensure!(
        ended.summary("rows")? == sums.rows.to_string() && ended.summary("warnings")? == "0",
        "{ended}"
    );
    let lines = sums.lines();
    ensure!(lines.len() == 4 || sums.rows < ROWS, "{lines:?}");
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    ensure_values(&env.schema, &tpch::sums_query("lineitem"), &lines).await
}

#[apply(load_test)]
async fn lineitem_as_dbgen_writes_it_has_the_generators_own_sums(env: TestEnv) -> Result<()> {
    let lineitem = lineitem()?;
    let args = ["--fields-terminated-by", "|", "--lines-terminated-by", "|\\n"];
    load_and_compare(&env, &lineitem.bars, &args, &lineitem.sums).await
}

#[apply(load_test)]
async fn lineitem_in_csv_has_the_generators_own_sums(env: TestEnv) -> Result<()> {
    let lineitem = lineitem()?;
    let args = ["--preset", "csv", "--ignore-lines", "1"];
    load_and_compare(&env, &lineitem.csv, &args, &lineitem.sums).await
}

#[apply(load_test)]
async fn the_bar_at_the_end_of_a_line_may_be_read_as_a_field(env: TestEnv) -> Result<()> {
    let lineitem = lineitem()?;
    let columns = format!("{COLUMNS},@nothing");
    let args = ["--fields-terminated-by", "|", "--columns", &columns];
    let last = lineitem.bars.last().map(std::slice::from_ref).unwrap_or_default();
    load_and_compare(&env, last, &args, &lineitem.last).await
}
