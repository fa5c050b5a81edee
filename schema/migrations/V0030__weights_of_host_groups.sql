-- Which of the hosts that fit is taken: of a group of hosts, and where no group says it, of the installation.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'node_groups' AND column_name = 'placement_weight');
SET @change = IF(@missing, 'ALTER TABLE node_groups ADD COLUMN placement_weight VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NULL', 'DO 0');
PREPARE change_groups FROM @change;
EXECUTE change_groups;
DEALLOCATE PREPARE change_groups;
