-- A released address cools also at hosts that knew it beside its own: those whose rules named it, those it was tried on.
CREATE TABLE IF NOT EXISTS cooling_hosts (
  network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ipv4 INT UNSIGNED NOT NULL,
  host_node_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  policy_version BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (network_id, ipv4, host_node_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The first incarnation of the process that is heard: what an earlier process answers late counts for nothing. And the
-- machine that last asked to join in this agent's name and is not the one that joined.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'agents' AND column_name = 'process_incarnation');
SET @change = IF(@missing, 'ALTER TABLE agents ADD COLUMN process_incarnation BIGINT UNSIGNED NOT NULL DEFAULT 0, ADD COLUMN refused_at DATETIME(3) NULL, ADD COLUMN refused_machine VARCHAR(64) NULL', 'DO 0');
PREPARE change_agents FROM @change;
EXECUTE change_agents;
DEALLOCATE PREPARE change_agents;
