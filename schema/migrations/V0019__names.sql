-- Names of networks: records that tenants add, what DHCP tells, and since which version of a network each part of it is so,
-- so that a naming service is sent what changed. Statements may run twice; MySQL 8.0 knows no ADD COLUMN IF NOT EXISTS.
--
-- A record or an interface is of every version from `added_version` (`need_network_version`) on and before `gone_version`.
CREATE TABLE IF NOT EXISTS dns_records (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(120) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  value VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  ttl_seconds INT UNSIGNED NULL,
  added_version BIGINT UNSIGNED NOT NULL,
  gone_version BIGINT UNSIGNED NULL,
  created_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL,
  KEY of_version (network_id, added_version, gone_version),
  KEY gone (network_id, gone_version),
  KEY by_age (deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- `gone_network_version` 0: of no version, an interface that was released before this column was there.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'network_vifs' AND column_name = 'gone_network_version');
SET @change = IF(@missing, 'ALTER TABLE network_vifs ADD COLUMN gone_network_version BIGINT UNSIGNED NULL, ADD KEY of_version (network_id, need_network_version, gone_network_version, instance_id), ADD KEY gone_since (network_id, gone_network_version)', 'DO 0');
PREPARE change_vifs FROM @change;
EXECUTE change_vifs;
DEALLOCATE PREPARE change_vifs;
UPDATE network_vifs SET gone_network_version = 0 WHERE deleted_at IS NOT NULL AND gone_network_version IS NULL;

-- What is NULL is as the data center has it: lease time, TTL, no routes beside the default one, the naming service itself.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'networks' AND column_name = 'lease_seconds');
SET @change = IF(@missing, 'ALTER TABLE networks ADD COLUMN lease_seconds INT UNSIGNED NULL, ADD COLUMN ttl_seconds INT UNSIGNED NULL, ADD COLUMN routes TEXT CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN dns_servers TEXT CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN dhcp_off TINYINT NOT NULL DEFAULT 0, ADD COLUMN dns_off TINYINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_networks FROM @change;
EXECUTE change_networks;
DEALLOCATE PREPARE change_networks;
