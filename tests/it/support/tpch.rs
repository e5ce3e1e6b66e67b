//! TPC-H's `lineitem`, made by `tpchgen`: data of a real shape, with sums that do not go through
//! any text.
//!
//! The rows are those of the benchmark's own `dbgen`. Their text is the generator's. The expected
//! content of the table is computed from the fields of the rows, as numbers, and compared with the
//! server's sums over its columns.

use std::collections::BTreeMap;
use std::io::Write;

use tpchgen::csv::LineItemCsv;
use tpchgen::distribution::Distributions;
use tpchgen::generators::{LineItem, LineItemGenerator};
use tpchgen::text::TextPool;

/// The size that `dbgen` uses. Another size makes other comments.
const TEXT_POOL_BYTES: i32 = 300 * 1024 * 1024;

/// The columns in the order of the fields.
pub const COLUMNS: &str = "l_orderkey,l_partkey,l_suppkey,l_linenumber,l_quantity,l_extendedprice,\
     l_discount,l_tax,\
     l_returnflag,l_linestatus,l_shipdate,l_commitdate,l_receiptdate,l_shipinstruct,l_shipmode,\
     l_comment";

/// Returns CREATE TABLE with the types and the key of the benchmark's specification.
pub fn create_table(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (
            l_orderkey BIGINT NOT NULL, l_partkey INT NOT NULL, l_suppkey INT NOT NULL, \
            l_linenumber INT NOT NULL,
            l_quantity DECIMAL(15,2) NOT NULL, l_extendedprice DECIMAL(15,2) NOT NULL, l_discount \
            DECIMAL(15,2) NOT NULL,
            l_tax DECIMAL(15,2) NOT NULL, l_returnflag CHAR(1) NOT NULL, l_linestatus CHAR(1) NOT \
            NULL,
            l_shipdate DATE NOT NULL, l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL,
            l_shipinstruct CHAR(25) NOT NULL, l_shipmode CHAR(10) NOT NULL, l_comment VARCHAR(44) \
            NOT NULL,
            PRIMARY KEY (l_orderkey, l_linenumber)) ENGINE=InnoDB"
    )
}

/// Returns a query for one line per return flag and line status, comparable with [`Sums::lines`].
pub fn sums_query(name: &str) -> String {
    let days = |column| format!("SUM(DATEDIFF({column}, '1970-01-01'))");
    format!(
        "SELECT CONCAT_WS(' ', l_returnflag, l_linestatus, COUNT(*), SUM(l_orderkey), \
         SUM(l_partkey), SUM(l_suppkey), \
         SUM(l_linenumber), SUM(l_quantity), SUM(l_extendedprice), SUM(l_discount), SUM(l_tax), \
         {}, {}, {}, \
         SUM(CRC32(l_comment)), SUM(CRC32(CONCAT_WS('|', {COLUMNS})))) \
         FROM {name} GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus",
        days("l_shipdate"),
        days("l_commitdate"),
        days("l_receiptdate"),
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The form that `dbgen` writes: `|` after every field, also the last.
    Bars,
    /// A header line of names, and the comment in quotes.
    Csv,
    /// An object for each row, with the columns' names as keys.
    #[allow(dead_code, reason = "for the benchmarks")]
    JsonLines,
}

/// The sums of the generated rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub rows: u64,
    groups: BTreeMap<(String, &'static str), Group>,
}

/// Sums with money in hundredths and dates in days since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    rows: u64,
    order_keys: i64,
    part_keys: i64,
    supplier_keys: i64,
    line_numbers: i64,
    quantity: i64,
    price_cents: i64,
    discount_cents: i64,
    tax_cents: i64,
    ship_days: i64,
    commit_days: i64,
    receipt_days: i64,
    comment_checksums: u64,
    row_checksums: u64,
}

impl Sums {
    fn add(&mut self, item: &LineItem<'_>) {
        self.rows += 1;
        let group =
            self.groups.entry((item.l_returnflag.to_owned(), item.l_linestatus)).or_default();
        group.rows += 1;
        group.order_keys += item.l_orderkey;
        group.part_keys += item.l_partkey;
        group.supplier_keys += item.l_suppkey;
        group.line_numbers += i64::from(item.l_linenumber);
        group.quantity += item.l_quantity;
        group.price_cents += item.l_extendedprice.0;
        group.discount_cents += item.l_discount.0;
        group.tax_cents += item.l_tax.0;
        group.ship_days += i64::from(item.l_shipdate.to_unix_epoch());
        group.commit_days += i64::from(item.l_commitdate.to_unix_epoch());
        group.receipt_days += i64::from(item.l_receiptdate.to_unix_epoch());
        group.comment_checksums += crc32(item.l_comment);
        // The row as the server shows the stored values, so that a value in the wrong row or column
        // shows as well.
        group.row_checksums += crc32(&format!(
            "{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
            item.l_orderkey,
            item.l_partkey,
            item.l_suppkey,
            item.l_linenumber,
            hundredths(item.l_quantity * 100),
            hundredths(item.l_extendedprice.0),
            hundredths(item.l_discount.0),
            hundredths(item.l_tax.0),
            item.l_returnflag,
            item.l_linestatus,
            date(item.l_shipdate.to_ymd()),
            date(item.l_commitdate.to_ymd()),
            date(item.l_receiptdate.to_ymd()),
            item.l_shipinstruct,
            item.l_shipmode,
            item.l_comment
        ));
    }

    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (key, other) in &other.groups {
            let group = self.groups.entry(key.clone()).or_default();
            group.rows += other.rows;
            group.order_keys += other.order_keys;
            group.part_keys += other.part_keys;
            group.supplier_keys += other.supplier_keys;
            group.line_numbers += other.line_numbers;
            group.quantity += other.quantity;
            group.price_cents += other.price_cents;
            group.discount_cents += other.discount_cents;
            group.tax_cents += other.tax_cents;
            group.ship_days += other.ship_days;
            group.commit_days += other.commit_days;
            group.receipt_days += other.receipt_days;
            group.comment_checksums += other.comment_checksums;
            group.row_checksums += other.row_checksums;
        }
    }

    /// Returns the result that [`sums_query`] must have.
    pub fn lines(&self) -> Vec<String> {
        let line = |((flag, status), group): (&(String, &str), &Group)| {
            format!(
                "{flag} {status} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
                group.rows,
                group.order_keys,
                group.part_keys,
                group.supplier_keys,
                group.line_numbers,
                hundredths(group.quantity * 100),
                hundredths(group.price_cents),
                hundredths(group.discount_cents),
                hundredths(group.tax_cents),
                group.ship_days,
                group.commit_days,
                group.receipt_days,
                group.comment_checksums,
                group.row_checksums
            )
        };
        self.groups.iter().map(line).collect()
    }
}

/// Makes rows part by part. It holds the pool from which comments are cut, 300 MB.
pub struct Generator {
    scale: f64,
    parts: i32,
    text: TextPool,
}

impl Generator {
    pub fn new(scale: f64, parts: i32) -> Self {
        Self { scale, parts, text: TextPool::new(TEXT_POOL_BYTES, Distributions::static_default()) }
    }

    /// Writes part `part`, counted from 1, in one or several forms at once.
    pub fn write(
        &self,
        part: i32,
        sums: &mut Sums,
        outs: &mut [(Form, &mut dyn Write)],
    ) -> std::io::Result<()> {
        let rows = LineItemGenerator::new_with_distributions_and_text_pool(
            self.scale,
            part,
            self.parts,
            Distributions::static_default(),
            &self.text,
        );
        for (form, out) in &mut *outs {
            if *form == Form::Csv {
                writeln!(out, "{}", LineItemCsv::header())?;
            }
        }
        for item in rows.iter() {
            sums.add(&item);
            for (form, out) in &mut *outs {
                // Formatting into a string first is optimized in every profile.
                let line = match form {
                    Form::Bars => format!("{item}\n"),
                    Form::Csv => format!("{}\n", LineItemCsv::new(item.clone())),
                    Form::JsonLines => json_line(&item),
                };
                out.write_all(line.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Returns a row as JSON. No text of the generator has a character to escape.
fn json_line(item: &LineItem<'_>) -> String {
    format!(
        "{{\"l_orderkey\":{},\"l_partkey\":{},\"l_suppkey\":{},\"l_linenumber\":{},\
         \"l_quantity\":{},\"l_extendedprice\":{},\"l_discount\":{},\"l_tax\":{},\
         \"l_returnflag\":\"{}\",\"l_linestatus\":\"{}\",\
         \"l_shipdate\":\"{}\",\"l_commitdate\":\"{}\",\"l_receiptdate\":\"{}\",\
         \"l_shipinstruct\":\"{}\",\"l_shipmode\":\"{}\",\"l_comment\":\"{}\"}}\n",
        item.l_orderkey,
        item.l_partkey,
        item.l_suppkey,
        item.l_linenumber,
        item.l_quantity,
        hundredths(item.l_extendedprice.0),
        hundredths(item.l_discount.0),
        hundredths(item.l_tax.0),
        item.l_returnflag,
        item.l_linestatus,
        item.l_shipdate,
        item.l_commitdate,
        item.l_receiptdate,
        item.l_shipinstruct,
        item.l_shipmode,
        item.l_comment
    )
}

fn crc32(text: &str) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, text.as_bytes())
}

/// Returns a number of hundredths as a decimal. No number here is negative.
fn hundredths(number: i64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

fn date((year, month, day): (i32, i32, i32)) -> String {
    // The generator counts years from 1900.
    format!("{}-{month:02}-{day:02}", 1900 + year)
}
