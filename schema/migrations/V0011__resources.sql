-- The rest of the resources of API 12.03. Statements may run twice; MySQL 8.0 knows no ADD COLUMN IF NOT EXISTS, so the
-- look at information_schema comes first (MODIFY is the same when it runs twice).
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'dc_networks' AND column_name = 'offering_network_modes');
SET @change = IF(@missing, 'ALTER TABLE dc_networks ADD COLUMN description VARCHAR(255) NOT NULL DEFAULT '''', ADD COLUMN offering_network_modes VARCHAR(100) NOT NULL DEFAULT ''securitygroup'', ADD COLUMN allow_new_networks TINYINT NOT NULL DEFAULT 1, ADD COLUMN updated_at DATETIME(3) NULL', 'DO 0');
PREPARE change_dc_networks FROM @change;
EXECUTE change_dc_networks;
DEALLOCATE PREPARE change_dc_networks;

-- `ranges`: `begin-end,begin-end` as numbers, in order; NULL is the one range of range_begin and range_end. A deleted
-- network keeps its row, and so its tag, until every naming service has answered that it serves it no more.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'networks' AND column_name = 'ranges');
SET @change = IF(@missing, 'ALTER TABLE networks ADD COLUMN ranges TEXT CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN metric INT UNSIGNED NOT NULL DEFAULT 100, ADD COLUMN ip_assignment VARCHAR(4) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT ''asc'', ADD COLUMN editable TINYINT NOT NULL DEFAULT 0, ADD COLUMN deleted_at DATETIME(3) NULL', 'DO 0');
PREPARE change_networks FROM @change;
EXECUTE change_networks;
DEALLOCATE PREPARE change_networks;

-- A lease without MAC is an address that is kept for nobody (`vif_id` is empty) or for an IP handle (its id). An interface
-- without instance stands alone; one without network has no address.
ALTER TABLE ip_leases MODIFY mac CHAR(17) CHARACTER SET ascii COLLATE ascii_bin NULL;
ALTER TABLE network_vifs MODIFY network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, MODIFY ipv4 INT UNSIGNED NULL;

SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'instances' AND column_name = 'monitoring_enabled');
SET @change = IF(@missing, 'ALTER TABLE instances ADD COLUMN monitoring_enabled TINYINT NOT NULL DEFAULT 0, ADD COLUMN monitoring_mail TEXT NULL, ADD COLUMN encrypted_password TEXT CHARACTER SET ascii COLLATE ascii_bin NULL', 'DO 0');
PREPARE change_instances FROM @change;
EXECUTE change_instances;
DEALLOCATE PREPARE change_instances;

SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'instance_types' AND column_name = 'description');
SET @change = IF(@missing, 'ALTER TABLE instance_types ADD COLUMN description VARCHAR(255) NOT NULL DEFAULT ''''', 'DO 0');
PREPARE change_instance_types FROM @change;
EXECUTE change_instance_types;
DEALLOCATE PREPARE change_instance_types;

-- What users write on instances, images, security groups and keys. Names are compared byte for byte.
CREATE TABLE IF NOT EXISTS resource_labels (
  resource VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  value TEXT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (resource, name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- What is to be watched of an instance (imon-…) or an interface (nwm-…). Nothing watches yet.
CREATE TABLE IF NOT EXISTS monitors (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  resource VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  enabled TINYINT NOT NULL,
  title VARCHAR(255) NOT NULL,
  params TEXT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  KEY of_resource (resource)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Groups of hosts (hng-…), networks (nwg-…) and storage nodes (sng-…).
CREATE TABLE IF NOT EXISTS node_groups (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(255) NOT NULL,
  attributes TEXT NOT NULL,
  members TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  KEY of_kind (kind)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS backup_storages (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  storage_type VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  description VARCHAR(255) NOT NULL DEFAULT '',
  base_uri VARCHAR(1000) NOT NULL DEFAULT '',
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS backup_objects (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  backup_storage_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  size_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0,
  allocation_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0,
  object_key VARCHAR(1000) NOT NULL DEFAULT '',
  checksum VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  description VARCHAR(255) NOT NULL DEFAULT '',
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL,
  KEY of_account (account_id, deleted_at),
  KEY of_storage (backup_storage_id, deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS ip_pools (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  display_name VARCHAR(255) NOT NULL,
  dc_networks TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- A handle holds an address until it is released or its time is over.
CREATE TABLE IF NOT EXISTS ip_handles (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  ip_pool_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ipv4 INT UNSIGNED NOT NULL,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NULL,
  KEY of_pool (ip_pool_id),
  KEY of_network (network_id),
  KEY ending (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
