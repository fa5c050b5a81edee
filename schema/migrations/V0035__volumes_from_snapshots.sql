-- The snapshot that a volume begins with: it is waited for before the snapshot goes, and a rollback past it is refused.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'volumes' AND column_name = 'snapshot_id');
SET @change = IF(@missing, 'ALTER TABLE volumes ADD COLUMN snapshot_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD INDEX volumes_of_snapshot (snapshot_id)', 'DO 0');
PREPARE change_volumes FROM @change;
EXECUTE change_volumes;
DEALLOCATE PREPARE change_volumes;
