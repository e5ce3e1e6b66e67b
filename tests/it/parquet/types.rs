//! Each type goes into columns with the meaning that it has, or is refused.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow_array::builder::{Float64Builder, MapBuilder, StringBuilder};
use arrow_array::types::{Decimal128Type, Decimal256Type};
use arrow_array::{
    Array as _, ArrayRef, ArrowNativeTypeOp as _, BinaryArray, BooleanArray, Date32Array,
    Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array,
    Int32Array, Int64Array, ListArray, PrimitiveArray, StringArray, StructArray,
    Time32MillisecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{NullBuffer, i256};
use arrow_schema::{DataType, Field};
use parquet::data_type::{ByteArrayType, FixedLenByteArrayType, Int32Type, Int64Type, Int96Type};

use super::load;
use super::write::{file, int96, raw_file};
use crate::registry::{apply, load_test};
use crate::support::lines::expect_failure;
use crate::support::program::TestEnv;
use crate::support::values::ensure_values;

#[apply(load_test)]
async fn numbers_keep_every_digit(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT, u8 TINYINT UNSIGNED, u32 INT UNSIGNED, u64 BIGINT UNSIGNED, \
             i64 BIGINT, i8 TINYINT, f FLOAT, d DOUBLE, n DECIMAL(10,3), big DECIMAL(60,10), \
             txt VARCHAR(80), ok BOOLEAN, bits BIT(12), y YEAR)",
        )
        .await?;
    let n: PrimitiveArray<Decimal128Type> =
        Decimal128Array::from(vec![-5, 1_234_567_891]).with_precision_and_scale(10, 3)?;
    let tens = i256::from_i128(10).pow_wrapping(55);
    let big: PrimitiveArray<Decimal256Type> =
        Decimal256Array::from(vec![tens.wrapping_sub(i256::ONE), i256::MINUS_ONE])
            .with_precision_and_scale(60, 10)?;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int32Array::from(vec![1, 2]))),
        ("u8", Arc::new(UInt8Array::from(vec![255, 128]))),
        ("u32", Arc::new(UInt32Array::from(vec![u32::MAX, 1 << 31]))),
        ("u64", Arc::new(UInt64Array::from(vec![u64::MAX, 1 << 63]))),
        ("i64", Arc::new(Int64Array::from(vec![i64::MIN, 9_007_199_254_740_993]))),
        ("i8", Arc::new(Int8Array::from(vec![-128, 127]))),
        ("f", Arc::new(Float32Array::from(vec![f32::MAX, 0.1]))),
        ("d", Arc::new(Float64Array::from(vec![f64::MAX, 5e-324]))),
        ("n", Arc::new(n.clone())),
        ("big", Arc::new(big)),
        ("txt", Arc::new(n)),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), Some(false)]))),
        ("bits", Arc::new(Int32Array::from(vec![4095, 1]))),
        ("y", Arc::new(Int32Array::from(vec![0, 1970]))),
    ];
    env.put("a", file(&columns)?)?;
    load(&env, 0, &[]).await?;
    let nines = "9".repeat(45);
    ensure_values(
        &env.schema,
        "SELECT id, u8, u32, u64, i64, i8, f = 3.4028234663852886e38 OR id = 2, \
         d = 1.7976931348623157e308 OR d = 5e-324, n, big, txt, ok, bits + 0, y FROM t ORDER BY id",
        &[
            &format!(
                "1|255|4294967295|18446744073709551615|-9223372036854775808|-128|1|1|-0.005|\
                 {nines}.9999999999|-0.005|1|4095|0000"
            ),
            "2|128|2147483648|9223372036854775808|9007199254740993|127|1|1|1234567.891|\
             -0.0000000001|1234567.891|0|1|1970",
        ],
    )
    .await?;
    // Two-digit years, and what is no number.
    env.start_afresh("t").await?;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("y", Arc::new(Int32Array::from(vec![70, 2026]))),
        ("d", Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY]))),
    ];
    env.put("a", file(&columns)?)?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("2 of 2 rows are bad")?;
    ended.says("column y")?;
    ended.says("'inf'")?;
    // A word may mean NULL.
    env.put("a", file(&columns[1..])?)?;
    load(&env, 0, &["--null-string", "NaN", "--null-string", "inf"]).await?;
    ensure_values(&env.schema, "SELECT d FROM t", &["∅", "∅"]).await
}

#[apply(load_test)]
async fn decimals_of_every_physical_type_keep_their_scale(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (n DECIMAL(30,2))").await?;
    env.put(
        "a",
        raw_file::<Int32Type>("required int32 n (decimal(9,2));", &[-5, 123_456_789], &[])?,
    )?;
    env.put(
        "b",
        raw_file::<Int64Type>(
            "required int64 n (decimal(18,2));",
            &[1_000_000_000_000_000_001],
            &[],
        )?,
    )?;
    let bytes = vec![0xFF_u8, 0xFE];
    env.put(
        "c",
        raw_file::<ByteArrayType>(
            "required binary n (decimal(20,2));",
            &[bytes.clone().into(), vec![1, 0, 0, 0, 0, 0, 0, 0, 0].into()],
            &[],
        )?,
    )?;
    env.put(
        "d",
        raw_file::<FixedLenByteArrayType>(
            "required fixed_len_byte_array(2) n (decimal(4,2));",
            &[parquet::data_type::ByteArray::from(bytes).into()],
            &[],
        )?,
    )?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT n FROM t ORDER BY n",
        &["-0.05", "-0.02", "-0.02", "1234567.89", "10000000000000000.01", "184467440737095516.16"],
    )
    .await
}

/// 2026-04-15 13:51:30.25 in microseconds.
const INSTANT: i64 = 1_776_261_090_250_000;

#[apply(load_test)]
async fn instants_and_clocks_are_told_apart(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (u_ts TIMESTAMP(2) NULL, u_dt DATETIME(2), u_txt VARCHAR(40), \
             l_ts TIMESTAMP(2) NULL, l_dt DATETIME(2), l_txt VARCHAR(40), d DATE, tm TIME(3), \
             d_txt VARCHAR(40))",
        )
        .await?;
    let instant = || -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![INSTANT]).with_timezone("UTC"))
    };
    let clock = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![INSTANT])) };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("u_ts", instant()),
        ("u_dt", instant()),
        ("u_txt", instant()),
        ("l_dt", clock()),
        ("l_txt", clock()),
        ("d", Arc::new(Date32Array::from(vec![-719_528]))),
        ("tm", Arc::new(Time32MillisecondArray::from(vec![86_399_999]))),
        ("d_txt", Arc::new(Date32Array::from(vec![2_932_897]))),
    ];
    let sql = "SELECT UNIX_TIMESTAMP(u_ts), u_dt, u_txt, UNIX_TIMESTAMP(l_ts), l_dt, l_txt, d, tm, \
               d_txt FROM t";
    env.put("a", file(&columns)?)?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        sql,
        &["1776261090.25|2026-04-15 13:51:30.25|2026-04-15 13:51:30.25Z|∅|2026-04-15 \
           13:51:30.25|2026-04-15 13:51:30.25|0000-01-01|23:59:59.999|+10000-01-01"],
    )
    .await?;
    // A zone moves instants in a DATETIME, and clocks in a TIMESTAMP.
    env.start_afresh("t").await?;
    let with_clock: Vec<_> = columns.iter().cloned().chain([("l_ts", clock())]).collect();
    env.put("a", file(&with_clock)?)?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("column l_ts: TIMESTAMP not adjusted to UTC cannot go into timestamp(2)")?;
    ended.says("--time-zone says in which zone its clocks hung")?;
    load(&env, 0, &["--time-zone", "Europe/Rome"]).await?;
    ensure_values(
        &env.schema,
        sql,
        &["1776261090.25|2026-04-15 15:51:30.25|2026-04-15 13:51:30.25Z|1776253890.25|2026-04-15 \
           13:51:30.25|2026-04-15 13:51:30.25|0000-01-01|23:59:59.999|+10000-01-01"],
    )
    .await
}

#[apply(load_test)]
async fn digits_that_a_column_does_not_keep_are_a_note(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (ns DATETIME(6), ms DATETIME, tm TIME(6))").await?;
    let columns: Vec<(&str, ArrayRef)> = vec![
        // The last one of a year must not become the first of the next.
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![1_609_459_199_999_999_999]))),
        ("ms", Arc::new(TimestampMillisecondArray::from(vec![1_609_459_199_999]))),
        ("tm", Arc::new(Time64NanosecondArray::from(vec![1]))),
    ];
    env.put("a", file(&columns)?)?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT * FROM t",
        &["2020-12-31 23:59:59.999999|2020-12-31 23:59:59|00:00:00.000000"],
    )
    .await?;
    env.start_afresh("t").await?;
    load(&env, 3, &["--notes-as-bad"]).await?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn int96_is_an_instant_of_any_year(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (at DATETIME(6))").await?;
    let values = [
        int96(0, 0),
        // Both overflow as nanoseconds since 1970.
        int96(-354_285, 86_399_999_999_000),
        int96(2_932_896, 1000),
    ];
    env.put("a", raw_file::<Int96Type>("required int96 at;", &values, &[])?)?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT at FROM t ORDER BY at",
        &["1000-01-01 23:59:59.999999", "1970-01-01 00:00:00.000000", "9999-12-31 00:00:00.000001"],
    )
    .await?;
    // A version of Spark that counted by the Julian calendar.
    env.start_afresh("t").await?;
    let pairs = [("org.apache.spark.version", "2.4.8")];
    env.put("a", raw_file::<Int96Type>("required int96 at;", &[int96(-354_279, 0)], &pairs)?)?;
    load(&env, 0, &[]).await?;
    ensure_values(&env.schema, "SELECT at FROM t", &["1000-01-02 00:00:00.000000"]).await
}

#[apply(load_test)]
async fn old_versions_of_spark_counted_days_by_the_julian_calendar(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (d DATE)").await?;
    let days = [-719_164, -141_428, -141_427];
    let schema = "required int32 d (date);";
    let pairs = [("org.apache.spark.version", "3.2.1"), ("org.apache.spark.legacyDateTime", "")];
    env.put("a", raw_file::<Int32Type>(schema, &days, &pairs)?)?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT d FROM t ORDER BY d",
        &["0001-01-01", "1582-10-04", "1582-10-15"],
    )
    .await?;
    // A later version has the calendar of everybody else.
    env.start_afresh("t").await?;
    env.put("a", raw_file::<Int32Type>(schema, &days[1..], &pairs[..1])?)?;
    load(&env, 0, &[]).await?;
    ensure_values(&env.schema, "SELECT d FROM t ORDER BY d", &["1582-10-14", "1582-10-15"]).await
}

#[apply(load_test)]
async fn bytes_go_into_binary_columns_and_texts_must_be_utf8(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (b BLOB, f BINARY(2), v VARBINARY(8), txt VARCHAR(8), bits BIT(16), \
             id CHAR(36)) CHARSET utf8mb4",
        )
        .await?;
    let all: Vec<u8> = (0..=255).collect();
    let bytes = |value: &[u8]| -> ArrayRef { Arc::new(BinaryArray::from(vec![value])) };
    let fixed = |value: &[u8]| -> Result<ArrayRef> {
        Ok(Arc::new(FixedSizeBinaryArray::try_from_iter([value].into_iter())?))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("b", bytes(&all)),
        ("f", fixed(&[0, 255])?),
        ("v", Arc::new(StringArray::from(vec!["\\N\t"]))),
        ("txt", bytes("é".as_bytes())),
        ("bits", bytes(&[0, 1, 2])),
    ];
    env.put("a", file(&columns)?)?;
    load(&env, 0, &[]).await?;
    let hex: String = all.iter().map(|byte| format!("{byte:02X}")).collect();
    let sql = "SELECT HEX(b), HEX(f), HEX(v), txt, bits + 0 FROM t";
    ensure_values(&env.schema, sql, &[&format!("{hex}|00FF|5C4E09|é|258")]).await?;
    env.start_afresh("t").await?;
    env.put("a", file(&[("txt", bytes(&[0xFF]))])?)?;
    load(&env, 3, &[]).await?.says("row 1, column txt: its bytes are not UTF-8")?;
    expect_failure(&env, "report", "a", "malformed")?;
    env.put("a", file(&[("f", fixed(&[1, 2, 3])?)])?)?;
    load(&env, 3, &[]).await?.says("of 3 bytes cannot go into binary(2)")?;
    let uuid: Vec<u8> = (0..16).collect();
    let uuid = parquet::data_type::ByteArray::from(uuid);
    let schema = "required fixed_len_byte_array(16) id (uuid);";
    env.put("a", raw_file::<FixedLenByteArrayType>(schema, &[uuid.into()], &[])?)?;
    load(&env, 0, &[]).await?;
    let id = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    ensure_values(&env.schema, "SELECT id FROM t", &[id]).await
}

#[apply(load_test)]
async fn texts_into_enums_and_json_are_judged(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (e ENUM('x','1'), j JSON)").await?;
    let text = |values: Vec<&'static str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let good = [("e", text(vec!["x", "1"])), ("j", text(vec!["{\"a\": [1]}", "\"\\\\\""]))];
    env.put("a", file(&good)?)?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT e, JSON_EXTRACT(j, '$.a[0]') FROM t ORDER BY e = 'x' DESC",
        &["x|1", "1|∅"],
    )
    .await?;
    env.start_afresh("t").await?;
    // The server would take the digit for the number of a label.
    let bad = [("e", text(vec!["2", "x"])), ("j", text(vec!["1", "{"]))];
    env.put("a", file(&bad)?)?;
    load(&env, 3, &[]).await?.says("2 of 2 rows are bad")?;
    Ok(())
}

#[apply(load_test)]
async fn nested_values_become_json(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (l JSON, g LONGTEXT, m JSON) CHARSET utf8mb4").await?;
    let list = ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\t\"\\"), None, Some("é")]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![0, 1, 2]));
    let group = StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Utf8, true)), texts),
        (Arc::new(Field::new("d", DataType::Date32, true)), days),
    ]);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Float64Builder::new());
    maps.keys().append_value("k");
    maps.values().append_value(1.5);
    maps.append(true)?;
    maps.append(false)?;
    maps.append(true)?;
    let columns: Vec<(&str, ArrayRef)> =
        vec![("l", Arc::new(list)), ("g", Arc::new(group)), ("m", Arc::new(maps.finish()))];
    env.put("a", file(&columns)?)?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT JSON_EXTRACT(l, '$[0]'), JSON_LENGTH(l), g, JSON_EXTRACT(m, '$.k') FROM t \
         ORDER BY SUBSTR(g, INSTR(g, '1970')) DESC",
        &[
            r#"∅|0|{\"x\":\"é\",\"d\":\"1970-01-03\"}|∅"#,
            r#"∅|∅|{\"x\":null,\"d\":\"1970-01-02\"}|∅"#,
            r#"1|2|{\"x\":\"a\\t\\\"\\\\\",\"d\":\"1970-01-01\"}|1.5"#,
        ],
    )
    .await
}

#[apply(load_test)]
async fn members_of_groups_go_into_columns_of_their_own(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, city VARCHAR(9), zip INT, born DATE)").await?;
    let cities: ArrayRef = Arc::new(StringArray::from(vec![Some("Rome"), Some("x"), None]));
    let zips: ArrayRef = Arc::new(StringArray::from(vec![Some(" 17"), None, Some("3")]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![0, 1, 2]));
    let inner = StructArray::from(vec![
        (Arc::new(Field::new("city", DataType::Utf8, true)), cities),
        (Arc::new(Field::new("zip", DataType::Utf8, true)), zips),
    ]);
    let members: Vec<(Arc<Field>, ArrayRef)> = vec![
        (Arc::new(Field::new("address", inner.data_type().clone(), true)), Arc::new(inner)),
        (Arc::new(Field::new("born", DataType::Date32, true)), days),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    let nulls = NullBuffer::from(vec![true, false, true]);
    let person = StructArray::try_new(fields.into(), arrays, Some(nulls))?;
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    env.put("a", file(&[("id", ids), ("person", Arc::new(person))])?)?;
    let fields = [
        "--field",
        "city=$.person.address.city",
        "--field",
        "@raw=$.person.address.zip",
        "--field",
        "born=$.person.born",
        "--set",
        "zip=TRIM(@raw)",
    ];
    load(&env, 0, &fields).await?;
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY id",
        &["1|Rome|17|1970-01-01", "2|∅|∅|∅", "3|∅|3|1970-01-03"],
    )
    .await?;
    let ended = env.load("t", &["--format", "parquet", "--field", "city=$.a[0]"]).await?;
    ended.expect(2)?;
    ended.says("the path $.a[0] is no path of members")
}

#[apply(load_test)]
async fn a_pair_without_a_meaning_is_refused(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (n INT, d DATE, at DATETIME, b BLOB)").await?;
    let list =
        ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([Some([Some(1)])]);
    let cases: [(&str, ArrayRef, &str); 5] = [
        ("n", Arc::new(list), "a LIST cannot go into int"),
        ("n", Arc::new(Date32Array::from(vec![1])), "DATE cannot go into int"),
        ("d", Arc::new(Int32Array::from(vec![1])), "INT32 cannot go into date"),
        ("at", Arc::new(Float64Array::from(vec![1.0])), "DOUBLE cannot go into datetime"),
        ("b", Arc::new(Int64Array::from(vec![1])), "INT64 cannot go into blob"),
    ];
    for (name, array, why) in cases {
        env.put("a", file(&[(name, array)])?)?;
        let ended = load(&env, 3, &[]).await?;
        ended.says(&format!("column {name}: {why}"))?;
        expect_failure(&env, "report", "a", "unsupported_format")?;
    }
    ensure!(env.count("t").await? == 0);
    Ok(())
}
