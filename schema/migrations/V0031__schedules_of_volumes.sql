-- Schedules of volumes, their runs, and what they made. `tend_at`: when the sweep has something to do with it next. `making`:
-- what the last run made and is not whole yet. A run's key is its moment: none is made twice. `kept`: somebody marked it, no
-- schedule deletes it. Statements may run twice.
CREATE TABLE IF NOT EXISTS volume_schedules (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  volume_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  makes VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  backup_storage_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  every VARCHAR(4) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  minute TINYINT UNSIGNED NOT NULL,
  hour TINYINT UNSIGNED NOT NULL,
  weekday VARCHAR(9) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  time_zone VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  keep_last INT UNSIGNED NOT NULL DEFAULT 0,
  keep_hourly INT UNSIGNED NOT NULL DEFAULT 0,
  keep_daily INT UNSIGNED NOT NULL DEFAULT 0,
  keep_weekly INT UNSIGNED NOT NULL DEFAULT 0,
  keep_monthly INT UNSIGNED NOT NULL DEFAULT 0,
  enabled TINYINT NOT NULL DEFAULT 1,
  next_run DATETIME(3) NULL,
  tend_at DATETIME(3) NULL,
  making VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  prunes TINYINT NOT NULL DEFAULT 0,
  failures_in_a_row INT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL,
  KEY of_volume (volume_id, deleted_at),
  KEY due (tend_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS volume_schedule_runs (
  schedule_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  scheduled_for DATETIME(3) NOT NULL,
  begun_at DATETIME(3) NOT NULL,
  ended_at DATETIME(3) NULL,
  result VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  missed INT UNSIGNED NOT NULL DEFAULT 0,
  made VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  failure_code VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  failure_values TEXT NULL,
  PRIMARY KEY (schedule_id, scheduled_for)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'backup_objects' AND column_name = 'schedule_id');
SET @change = IF(@missing, 'ALTER TABLE backup_objects ADD COLUMN schedule_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN kept TINYINT NOT NULL DEFAULT 0, ADD KEY of_schedule (schedule_id, deleted_at)', 'DO 0');
PREPARE change_backup_objects FROM @change;
EXECUTE change_backup_objects;
DEALLOCATE PREPARE change_backup_objects;

SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'volume_snapshots' AND column_name = 'schedule_id');
SET @change = IF(@missing, 'ALTER TABLE volume_snapshots ADD COLUMN schedule_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN kept TINYINT NOT NULL DEFAULT 0, ADD KEY of_schedule (schedule_id, deleted_at)', 'DO 0');
PREPARE change_volume_snapshots FROM @change;
EXECUTE change_volume_snapshots;
DEALLOCATE PREPARE change_volume_snapshots;
