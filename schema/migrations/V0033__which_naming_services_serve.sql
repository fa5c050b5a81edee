-- Which naming services serve a network, and which of them is its gateway. Statements may run twice; MySQL 8.0 knows no ADD
-- COLUMN IF NOT EXISTS.
--
-- A row is there from the placement of a service until it has answered that it serves the network no more (`wanted` 0). A
-- version below `placed_version` is of an earlier placement. Until a service has answered `gateway_left_version` it may
-- translate addresses that another one translates now.
CREATE TABLE IF NOT EXISTS naming_places (
  network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  agent_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  wanted TINYINT NOT NULL DEFAULT 1,
  placed_version BIGINT UNSIGNED NOT NULL,
  withdrawn_version BIGINT UNSIGNED NULL,
  gateway_left_version BIGINT UNSIGNED NULL,
  placed_at DATETIME(3) NOT NULL,
  PRIMARY KEY (network_id, agent_id),
  KEY of_agent (agent_id, wanted)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- `naming_services` NULL: as many as the data center has it; 0: every one. A gateway's term counts who was it before.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'networks' AND column_name = 'naming_services');
SET @change = IF(@missing, 'ALTER TABLE networks ADD COLUMN naming_services SMALLINT UNSIGNED NULL, ADD COLUMN gateway_term BIGINT UNSIGNED NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_networks FROM @change;
EXECUTE change_networks;
DEALLOCATE PREPARE change_networks;

-- A naming service takes new networks, or gives its own to others.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'agents' AND column_name = 'scheduling_enabled');
SET @change = IF(@missing, 'ALTER TABLE agents ADD COLUMN scheduling_enabled TINYINT NOT NULL DEFAULT 1', 'DO 0');
PREPARE change_agents FROM @change;
EXECUTE change_agents;
DEALLOCATE PREPARE change_agents;

-- Until now every naming service that joined served every network: too many are withdrawn when the others serve.
INSERT IGNORE INTO naming_places (network_id, agent_id, wanted, placed_version, placed_at)
  SELECT n.id, a.id, 1, 0, UTC_TIMESTAMP(3) FROM networks n JOIN agents a ON a.kind = 'nsa' AND a.incarnation > 0;
