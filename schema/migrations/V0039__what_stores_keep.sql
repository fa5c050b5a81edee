-- What a storage node's store cannot give beyond the sizes of its volumes and replicas (snapshots, images, files of others), as it
-- last told. MiB. Statements may run twice.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'storage_nodes' AND column_name = 'kept_mib');
SET @change = IF(@missing, 'ALTER TABLE storage_nodes ADD COLUMN kept_mib BIGINT UNSIGNED NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_storage_nodes FROM @change;
EXECUTE change_storage_nodes;
DEALLOCATE PREPARE change_storage_nodes;
