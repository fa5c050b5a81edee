-- Snapshots of volumes. `seq` is also the order in which they are taken: one of a volume after the other.
CREATE TABLE IF NOT EXISTS volume_snapshots (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  volume_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  storage_node_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  backend_key VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  size_bytes BIGINT UNSIGNED NOT NULL,
  wanted TINYINT NOT NULL DEFAULT 1,
  was_present TINYINT NOT NULL DEFAULT 0,
  generation BIGINT UNSIGNED NOT NULL DEFAULT 1,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  failure_code VARCHAR(64) NULL,
  failure_message TEXT NULL,
  failure_final TINYINT NOT NULL DEFAULT 0,
  state_since DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL,
  KEY of_volume (volume_id, deleted_at),
  KEY of_account (account_id, deleted_at),
  KEY on_node (storage_node_id, deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The last rollback of a volume: its operation, what it goes back to, the generation it was asked for at, and whether it
-- is `open`, `done` or `failed`.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'volumes' AND column_name = 'rollback_operation');
SET @change = IF(@missing, 'ALTER TABLE volumes ADD COLUMN rollback_operation CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN rollback_snapshot_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN rollback_generation BIGINT UNSIGNED NULL, ADD COLUMN rollback_state VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN rollback_failure_code VARCHAR(64) NULL, ADD COLUMN rollback_failure_message TEXT NULL', 'DO 0');
PREPARE change_volumes FROM @change;
EXECUTE change_volumes;
DEALLOCATE PREPARE change_volumes;
