-- Copies of volumes' snapshots in other storage nodes' stores. A replica outlives its snapshot and its volume.
CREATE TABLE IF NOT EXISTS snapshot_replicas (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  volume_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  snapshot_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  storage_node_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  backend_key VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
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
  KEY of_snapshot (snapshot_id, deleted_at),
  KEY of_account (account_id, deleted_at),
  KEY on_node (storage_node_id, deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- What another storage node shows to read a snapshot, sealed; drawn once, when its first replica is asked for.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'volume_snapshots' AND column_name = 'reader_sealed');
SET @change = IF(@missing, 'ALTER TABLE volume_snapshots ADD COLUMN reader_sealed VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL', 'DO 0');
PREPARE change_snapshots FROM @change;
EXECUTE change_snapshots;
DEALLOCATE PREPARE change_snapshots;

-- The replica that a volume begins with: it is waited for before the replica goes.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'volumes' AND column_name = 'replica_id');
SET @change = IF(@missing, 'ALTER TABLE volumes ADD COLUMN replica_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD INDEX volumes_of_replica (replica_id)', 'DO 0');
PREPARE change_volumes FROM @change;
EXECUTE change_volumes;
DEALLOCATE PREPARE change_volumes;
