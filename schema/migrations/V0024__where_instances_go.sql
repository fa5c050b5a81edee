-- Where instances go: beside others of their group or apart from them, within a group of hosts; what a host promises of its
-- processors (virtual ones for each hundred real ones) and what of its memory and disk it keeps for itself.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'instances' AND column_name = 'placement_group');
SET @change = IF(@missing, 'ALTER TABLE instances ADD COLUMN placement_group VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN placement_policy VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN node_group_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD KEY placed_with (placement_group, account_id), ADD KEY of_node_group (node_group_id, terminated_at)', 'DO 0');
PREPARE change_instances FROM @change;
EXECUTE change_instances;
DEALLOCATE PREPARE change_instances;
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'host_nodes' AND column_name = 'cpu_allocation_percent');
SET @change = IF(@missing, 'ALTER TABLE host_nodes ADD COLUMN cpu_allocation_percent INT UNSIGNED NOT NULL DEFAULT 800, ADD COLUMN reserved_memory_mib BIGINT UNSIGNED NOT NULL DEFAULT 0, ADD COLUMN reserved_disk_mib BIGINT UNSIGNED NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_hosts FROM @change;
EXECUTE change_hosts;
DEALLOCATE PREPARE change_hosts;
