-- What placement counts on each host, and what waits for something, are read from an index alone: rows are wide.
-- MySQL 8.0 knows no ADD KEY IF NOT EXISTS; the look at information_schema makes the statement safe to run twice.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.statistics
                WHERE table_schema = DATABASE() AND table_name = 'instances' AND index_name = 'usage_of_host');
SET @change = IF(@missing, 'ALTER TABLE instances ADD KEY usage_of_host (terminated_at, host_node_id, cpu_cores, memory_mib, disk_mib), ADD KEY by_state (state, terminated_at)', 'DO 0');
PREPARE change_instances FROM @change;
EXECUTE change_instances;
DEALLOCATE PREPARE change_instances;
-- What an agent listed last, in short: a listing of the same things is not written again.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'inventories' AND column_name = 'digest');
SET @change = IF(@missing, 'ALTER TABLE inventories ADD COLUMN digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL', 'DO 0');
PREPARE change_inventories FROM @change;
EXECUTE change_inventories;
DEALLOCATE PREPARE change_inventories;
