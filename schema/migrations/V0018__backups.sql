-- Backups that storage nodes make. `volume_id`, `storage_node_id`, `backend_key` (of the snapshot it is copied from) are NULL
-- where somebody registered what was there. `reader_sealed`: what another storage node shows to read it. Statements may run
-- twice.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'backup_objects' AND column_name = 'volume_id');
SET @change = IF(@missing, 'ALTER TABLE backup_objects ADD COLUMN volume_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN storage_node_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN backend_key VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN wanted TINYINT NOT NULL DEFAULT 1, ADD COLUMN was_present TINYINT NOT NULL DEFAULT 0, ADD COLUMN snapshot_was_present TINYINT NOT NULL DEFAULT 0, ADD COLUMN generation BIGINT UNSIGNED NOT NULL DEFAULT 1, ADD COLUMN failure_code VARCHAR(64) NULL, ADD COLUMN failure_message TEXT NULL, ADD COLUMN failure_final TINYINT NOT NULL DEFAULT 0, ADD COLUMN reader_sealed VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN state_since DATETIME(3) NULL, ADD KEY on_node (storage_node_id, deleted_at), ADD KEY of_volume (volume_id, deleted_at)', 'DO 0');
PREPARE change_backup_objects FROM @change;
EXECUTE change_backup_objects;
DEALLOCATE PREPARE change_backup_objects;

-- The backup that a volume was made from.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'volumes' AND column_name = 'backup_object_id');
SET @change = IF(@missing, 'ALTER TABLE volumes ADD COLUMN backup_object_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL', 'DO 0');
PREPARE change_volumes FROM @change;
EXECUTE change_volumes;
DEALLOCATE PREPARE change_volumes;
