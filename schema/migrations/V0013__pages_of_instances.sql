-- A page of everybody's instances is chosen by an index alone (it carries the primary key): rows are wide.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.statistics
                WHERE table_schema = DATABASE() AND table_name = 'instances' AND index_name = 'alive');
SET @change = IF(@missing, 'ALTER TABLE instances ADD KEY alive (terminated_at)', 'DO 0');
PREPARE change_instances FROM @change;
EXECUTE change_instances;
DEALLOCATE PREPARE change_instances;
