"""Writes and reads Parquet by pyarrow, which shares nothing with this project.

oracle.py write DIRECTORY   reads columns and rows from standard input, and writes them in every way
oracle.py read FILE...      prints the columns and the rows of files
"""

import datetime
import decimal
import itertools
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)


def micros(text):
    """Returns the microseconds since 1970 of a clock."""
    form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
    delta = datetime.datetime.strptime(text, form) - EPOCH
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def time_of_day(text):
    return datetime.time.fromisoformat(text)


TYPES = {
    "bool": (pa.bool_(), lambda text: text == "1"),
    **{f"int{bits}": (getattr(pa, f"int{bits}")(), int) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (getattr(pa, f"uint{bits}")(), int) for bits in (8, 16, 32, 64)},
    "float": (pa.float32(), float),
    "double": (pa.float64(), float),
    "decimal9": (pa.decimal128(9, 2), decimal.Decimal),
    "decimal18": (pa.decimal128(18, 4), decimal.Decimal),
    "decimal38": (pa.decimal128(38, 10), decimal.Decimal),
    "decimal65": (pa.decimal256(65, 30), decimal.Decimal),
    "date": (pa.date32(), datetime.date.fromisoformat),
    "time": (pa.time64("us"), time_of_day),
    "clock": (pa.timestamp("us"), micros),
    "instant": (pa.timestamp("us", "UTC"), micros),
    "string": (pa.string(), str),
    "binary": (pa.binary(), bytes.fromhex),
}


def write(directory):
    lines = sys.stdin.read().splitlines()
    names, kinds = zip(*(column.split(":") for column in lines[0].split("\t")))
    rows = [json.loads(line) for line in lines[1:]]
    arrays = []
    for index, kind in enumerate(kinds):
        arrow, convert = TYPES[kind]
        values = [None if row[index] is None else convert(row[index]) for row in rows]
        arrays.append(pa.array(values, arrow))
    table = pa.table(arrays, names=names)
    numbers = [n for n, kind in zip(names, kinds) if kind in ("int32", "int64", "uint32", "uint64")]
    texts = [n for n, kind in zip(names, kinds) if kind in ("string", "binary")]
    floats = [n for n, kind in zip(names, kinds) if kind in ("float", "double")]
    encodings = [
        dict(use_dictionary=True),
        dict(use_dictionary=False),
        dict(
            use_dictionary=False,
            column_encoding={
                **{name: "DELTA_BINARY_PACKED" for name in numbers},
                **{name: "DELTA_BYTE_ARRAY" for name in texts},
                **{name: "BYTE_STREAM_SPLIT" for name in floats},
            },
        ),
        dict(
            use_dictionary=False,
            column_encoding={
                **{name: "BYTE_STREAM_SPLIT" for name in numbers},
                **{name: "DELTA_LENGTH_BYTE_ARRAY" for name in texts},
            },
        ),
        dict(store_decimal_as_integer=True),
        dict(use_deprecated_int96_timestamps=True),
    ]
    codecs = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]
    # Decimals of 65 digits are no integers, and INT96 is read as instants.
    number = 0
    for encoding, version in itertools.product(encodings, ["1.0", "2.0"]):
        written = table
        if "use_deprecated_int96_timestamps" in encoding:
            kept = [name for name, kind in zip(names, kinds) if kind != "clock"]
            # pyarrow counts nanoseconds since 1970 first, and loses what does not fit.
            kept = [name for name in kept if kinds[names.index(name)] != "instant" or name == "ts"]
            written = table.select(kept)
        path = f"{directory}/{number}"
        codec = codecs[number % len(codecs)]
        pq.write_table(
            written,
            path,
            data_page_version=version,
            compression=codec,
            row_group_size=[7, 1000][number % 2],
            data_page_size=[64, 1 << 20][number % 3 == 0],
            write_page_checksum=number % 2 == 0,
            store_schema=number % 4 < 2,
            **encoding,
        )
        number += 1
    print(number)


def text(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, datetime.datetime):
        shown = value.strftime("%Y-%m-%d %H:%M:%S.%f")
        return shown.rstrip("0").rstrip(".")
    return str(value)


def read(paths):
    for path in paths:
        table = pq.read_table(path, coerce_int96_timestamp_unit="us")
        columns = [column.to_pylist() for column in table.columns]
        for row in zip(*columns):
            print(json.dumps([text(value) for value in row]))


if sys.argv[1] == "write":
    write(sys.argv[2])
else:
    read(sys.argv[2:])
