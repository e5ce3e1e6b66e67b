"""Loads the objects under an S3 prefix into a table, the way such scripts are written.

loader.py BUCKET PREFIX DATABASE_PORT DATABASE TABLE DIALECT CONCURRENCY

List, download in threads to a temporary file, LOAD DATA LOCAL INFILE, commit. It counts nothing and checks nothing.
"""

import asyncio
import sys
import tempfile

import aiomysql
import boto3
from botocore.config import Config


async def main():
    bucket, prefix, port, database, table, dialect, concurrency = sys.argv[1:]
    concurrency = int(concurrency)
    s3 = boto3.client("s3", config=Config(max_pool_connections=concurrency, s3={"addressing_style": "path"}))
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    keys = [key for key in keys if not key.rsplit("/", 1)[-1].startswith(("_", "."))]

    pool = await aiomysql.create_pool(
        host="127.0.0.1", port=int(port), user="loader", db=database, local_infile=True, minsize=1, maxsize=concurrency
    )
    turns = asyncio.Semaphore(concurrency)

    async def load(key):
        async with turns:
            with tempfile.NamedTemporaryFile() as file:
                await asyncio.to_thread(s3.download_file, bucket, key, file.name)
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute(f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE {table} {dialect}")
                    await connection.commit()

    await asyncio.gather(*(load(key) for key in keys))
    pool.close()
    await pool.wait_closed()


asyncio.run(main())
