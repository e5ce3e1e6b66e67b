//! Rows: what is in the objects is in the table, to the row, or the object is refused.

use anyhow::{Result, ensure};

use crate::support::hive;
use crate::support::program::World;

crate::load_tests![hive_files_land_to_the_row];

async fn hive_files_land_to_the_row(world: World) -> Result<()> {
    world.schema.exec(&hive::create_table("t")).await?;
    let mut rows = 0;
    let mut checksum = 0;
    for number in 0..5 {
        let (bytes, sums) = hive::object(number * 1000, (number + 1) * 1000);
        world.put(&format!("in/part-{number}"), bytes)?;
        rows += sums.rows;
        checksum += sums.checksum;
    }
    let ended = world.load_ending(0, "t", &["--preset", "hive"]).await?;
    ensure!(ended.summary("rows")? == rows.to_string(), "{ended}");
    let found: (u64, u64) = world.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (rows, checksum), "{found:?}");
    world.ensure_nothing_staged()
}
