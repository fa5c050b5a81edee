-- Since when an agent is told as silent: that it fell silent, and that it is heard again, is told once.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'agents' AND column_name = 'silent_since');
SET @change = IF(@missing, 'ALTER TABLE agents ADD COLUMN silent_since DATETIME(3) NULL', 'DO 0');
PREPARE change_agents FROM @change;
EXECUTE change_agents;
DEALLOCATE PREPARE change_agents;
-- Who is silent now was silent before anybody was told of it: it is not news.
UPDATE agents SET silent_since = heard_at WHERE @missing AND heard_at < UTC_TIMESTAMP(3) - INTERVAL 15 SECOND;
