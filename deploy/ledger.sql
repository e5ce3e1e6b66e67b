-- The ledger's tables, for accounts that may not create tables. Run this file in the database of
-- the target table, or in that of --ledger-table. If --ledger-table gives another name, replace
-- s3_to_mysql with it first.

CREATE TABLE IF NOT EXISTS `s3_to_mysql_objects` (
  target VARBINARY(400) NOT NULL,
  generation INT UNSIGNED NOT NULL,
  bucket VARBINARY(255) NOT NULL,
  object_key VARBINARY(1024) NOT NULL,
  etag VARBINARY(255) NOT NULL,
  state ENUM('loading','partial','loaded') NOT NULL,
  size_bytes BIGINT UNSIGNED NOT NULL,
  row_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  skipped_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  deleted_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  rejected_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  warning_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  version_id VARBINARY(1024) NOT NULL DEFAULT '',
  part_size_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0,
  dialect_fingerprint VARBINARY(32) NOT NULL DEFAULT '',
  content_digest BLOB NULL,
  worker VARBINARY(300) NOT NULL,
  run_id VARBINARY(40) NOT NULL,
  tool_version VARBINARY(40) NOT NULL,
  began_at DATETIME(6) NOT NULL,
  loaded_at DATETIME(6) NULL,
  PRIMARY KEY (target, generation, bucket, object_key, etag)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4
  COMMENT='s3-to-mysql ledger, schema 1';

CREATE TABLE IF NOT EXISTS `s3_to_mysql_parts` (
  object_id BINARY(32) NOT NULL,
  part_number INT UNSIGNED NOT NULL,
  size_bytes BIGINT UNSIGNED NOT NULL,
  start_offset BIGINT UNSIGNED NOT NULL DEFAULT 0,
  data_offset BIGINT UNSIGNED NOT NULL DEFAULT 0,
  rows_before BIGINT UNSIGNED NOT NULL DEFAULT 0,
  lines_before BIGINT UNSIGNED NOT NULL DEFAULT 0,
  line_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  line_ending VARBINARY(2) NOT NULL DEFAULT '',
  checksum_algorithm VARBINARY(16) NOT NULL DEFAULT '',
  checksum BIGINT UNSIGNED NOT NULL DEFAULT 0,
  row_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  skipped_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  deleted_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  rejected_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  warning_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  content_digest BLOB NULL,
  worker VARBINARY(300) NOT NULL,
  run_id VARBINARY(40) NOT NULL,
  began_at DATETIME(6) NOT NULL,
  loaded_at DATETIME(6) NULL,
  PRIMARY KEY (object_id, part_number)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4
  COMMENT='s3-to-mysql ledger, schema 1';

CREATE TABLE IF NOT EXISTS `s3_to_mysql_jobs` (
  target VARBINARY(400) NOT NULL,
  generation INT UNSIGNED NOT NULL,
  table_generation INT UNSIGNED NOT NULL,
  mode ENUM('append','truncate','swap') NOT NULL,
  state ENUM('begun','emptied','loading','swapping','done','swapped') NOT NULL,
  source_fingerprint BINARY(32) NOT NULL,
  old_table VARBINARY(256) NOT NULL DEFAULT '',
  run_id VARBINARY(40) NOT NULL,
  tool_version VARBINARY(40) NOT NULL,
  begun_at DATETIME(6) NOT NULL,
  changed_at DATETIME(6) NOT NULL,
  deferred_indexes MEDIUMBLOB NULL,
  PRIMARY KEY (target)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4
  COMMENT='s3-to-mysql ledger, schema 1';

CREATE TABLE IF NOT EXISTS `s3_to_mysql_failures` (
  target VARBINARY(400) NOT NULL,
  generation INT UNSIGNED NOT NULL,
  bucket VARBINARY(255) NOT NULL,
  object_key VARBINARY(1024) NOT NULL,
  etag VARBINARY(255) NOT NULL,
  error_code VARBINARY(64) NOT NULL,
  message VARBINARY(4000) NOT NULL,
  attempts INT UNSIGNED NOT NULL,
  first_failed_at DATETIME(6) NOT NULL,
  last_failed_at DATETIME(6) NOT NULL,
  worker VARBINARY(300) NOT NULL,
  run_id VARBINARY(40) NOT NULL,
  PRIMARY KEY (target, generation, bucket, object_key)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4
  COMMENT='s3-to-mysql ledger, schema 1';

CREATE TABLE IF NOT EXISTS `s3_to_mysql_runs` (
  run_id VARBINARY(40) NOT NULL,
  target VARBINARY(400) NOT NULL,
  generation INT UNSIGNED NOT NULL,
  mode ENUM('append','truncate','swap') NOT NULL,
  source VARBINARY(2000) NOT NULL,
  worker VARBINARY(300) NOT NULL,
  tool_version VARBINARY(40) NOT NULL,
  started_at DATETIME(6) NOT NULL,
  ended_at DATETIME(6) NULL,
  exit_code INT UNSIGNED NULL,
  objects_loaded BIGINT UNSIGNED NOT NULL DEFAULT 0,
  objects_already_loaded BIGINT UNSIGNED NOT NULL DEFAULT 0,
  objects_failed BIGINT UNSIGNED NOT NULL DEFAULT 0,
  row_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
  loaded_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id),
  KEY target_started_at (target, started_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4
  COMMENT='s3-to-mysql ledger, schema 1';

-- For `s3-to-mysql ack`, which creates this table if it is missing. A load does without it.
CREATE TABLE IF NOT EXISTS `s3_to_mysql_acks` (
  target VARBINARY(400) NOT NULL,
  bucket VARBINARY(255) NOT NULL,
  object_key VARBINARY(1024) NOT NULL,
  etag VARBINARY(255) NOT NULL,
  error_code VARBINARY(64) NOT NULL,
  message VARBINARY(4000) NOT NULL,
  attempts INT UNSIGNED NOT NULL,
  first_failed_at DATETIME(6) NOT NULL,
  last_failed_at DATETIME(6) NOT NULL,
  worker VARBINARY(300) NOT NULL,
  run_id VARBINARY(40) NOT NULL,
  reason VARBINARY(1000) NOT NULL,
  acknowledged_by VARBINARY(400) NOT NULL,
  acknowledged_at DATETIME(6) NOT NULL,
  PRIMARY KEY (target, bucket, object_key)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4
  COMMENT='s3-to-mysql ledger, schema 1';
