-- The few agents of a kind are found without reading those of a thousand hosts: each launch looks for its networks' ones.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.statistics
                WHERE table_schema = DATABASE() AND table_name = 'agents' AND index_name = 'of_kind');
SET @change = IF(@missing, 'ALTER TABLE agents ADD KEY of_kind (kind, id)', 'DO 0');
PREPARE change_agents FROM @change;
EXECUTE change_agents;
DEALLOCATE PREPARE change_agents;
