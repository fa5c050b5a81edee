-- The resource model. Common subset of MySQL 8.0 and MariaDB 10.6: no RETURNING, no sequences, JSON kept as text.
-- Every statement may run twice (IF NOT EXISTS): MariaDB has no transactional DDL, a broken migration is run again.
-- Ids are ascii_bin: compared byte for byte. `seq` orders lists (newest first) and is never shown.
-- Times are DATETIME(3) in UTC, written by the database's clock only.

CREATE TABLE IF NOT EXISTS installation (
  one TINYINT NOT NULL PRIMARY KEY,
  uuid CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  epoch BIGINT UNSIGNED NOT NULL,
  events_numbered BIGINT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME(3) NOT NULL
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS accounts (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  description VARCHAR(255) NOT NULL DEFAULT '',
  enabled TINYINT NOT NULL DEFAULT 1,
  quota_instances INT UNSIGNED NULL,
  quota_volumes INT UNSIGNED NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS tokens (
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  secret_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  created_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NULL,
  revoked_at DATETIME(3) NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS agents (
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  node_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  key_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  incarnation BIGINT UNSIGNED NOT NULL DEFAULT 0,
  nonce CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
  machine_id VARCHAR(64) NULL,
  version VARCHAR(64) NULL,
  kinds TEXT NULL,
  capacity TEXT NULL,
  endpoints TEXT NULL,
  highest_epoch BIGINT UNSIGNED NOT NULL DEFAULT 0,
  degraded VARCHAR(500) NULL,
  heard_at DATETIME(3) NULL,
  created_at DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Nonces of processes whose place was taken: such a process is refused for good.
CREATE TABLE IF NOT EXISTS former_processes (
  agent_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  nonce CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  replaced_at DATETIME(3) NOT NULL,
  PRIMARY KEY (agent_id, nonce)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS inventories (
  agent_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  incarnation BIGINT UNSIGNED NOT NULL,
  observed BIGINT UNSIGNED NOT NULL,
  asked CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
  body MEDIUMTEXT NOT NULL,
  received_at DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS host_nodes (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  agent_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  arch VARCHAR(16) NOT NULL DEFAULT '',
  hypervisor VARCHAR(16) NOT NULL DEFAULT '',
  offering_cpu_cores INT UNSIGNED NOT NULL DEFAULT 0,
  offering_memory_mib BIGINT UNSIGNED NOT NULL DEFAULT 0,
  offering_disk_mib BIGINT UNSIGNED NOT NULL DEFAULT 0,
  scheduling_enabled TINYINT NOT NULL DEFAULT 1,
  policy_version BIGINT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS storage_nodes (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  agent_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  storage_type VARCHAR(16) NOT NULL DEFAULT '',
  offering_disk_mib BIGINT UNSIGNED NOT NULL DEFAULT 0,
  scheduling_enabled TINYINT NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS dc_networks (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  name VARCHAR(63) NOT NULL UNIQUE,
  vlan_first SMALLINT UNSIGNED NOT NULL,
  vlan_last SMALLINT UNSIGNED NOT NULL,
  created_at DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS networks (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  dc_network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  vlan_tag SMALLINT UNSIGNED NOT NULL,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  description VARCHAR(255) NOT NULL DEFAULT '',
  ipv4_network INT UNSIGNED NOT NULL,
  prefix TINYINT UNSIGNED NOT NULL,
  ipv4_gw INT UNSIGNED NULL,
  server INT UNSIGNED NOT NULL,
  domain_name VARCHAR(200) NOT NULL,
  mtu SMALLINT UNSIGNED NOT NULL DEFAULT 1500,
  range_begin INT UNSIGNED NOT NULL,
  range_end INT UNSIGNED NOT NULL,
  forwarders TEXT NOT NULL,
  version BIGINT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  UNIQUE KEY segment (dc_network_id, vlan_tag)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- An address is taken while its row exists. `released_at` set: it cools, until `cool_version` of the network is
-- acknowledged by every nsa and host that knew it and the least time is over; then the row goes.
CREATE TABLE IF NOT EXISTS ip_leases (
  network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ipv4 INT UNSIGNED NOT NULL,
  vif_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  mac CHAR(17) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  host_node_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  released_at DATETIME(3) NULL,
  cool_network_version BIGINT UNSIGNED NOT NULL DEFAULT 0,
  cool_policy_version BIGINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (network_id, ipv4),
  KEY cooling (released_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS security_groups (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  description VARCHAR(255) NOT NULL DEFAULT '',
  rule TEXT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  KEY of_account (account_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS ssh_key_pairs (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  description VARCHAR(255) NOT NULL DEFAULT '',
  finger_print VARCHAR(100) NOT NULL,
  public_key TEXT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  KEY of_account (account_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS instance_types (
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  display_name VARCHAR(63) NOT NULL UNIQUE,
  cpu_cores INT UNSIGNED NOT NULL,
  memory_mib BIGINT UNSIGNED NOT NULL,
  disk_mib BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS images (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  description VARCHAR(255) NOT NULL DEFAULT '',
  is_public TINYINT NOT NULL DEFAULT 0,
  arch VARCHAR(16) NOT NULL,
  source VARCHAR(1000) NOT NULL,
  sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  size_bytes BIGINT UNSIGNED NOT NULL,
  format VARCHAR(8) NOT NULL,
  generation BIGINT UNSIGNED NOT NULL DEFAULT 1,
  failure_code VARCHAR(64) NULL,
  failure_message TEXT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS instances (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  uuid CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  host_node_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  image_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ssh_key_pair_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  instance_type VARCHAR(63) NOT NULL DEFAULT '',
  hostname VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- hostname while the row is alive, NULL after: unique in its account by this key.
  hostname_taken VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  cpu_cores INT UNSIGNED NOT NULL,
  memory_mib BIGINT UNSIGNED NOT NULL,
  disk_mib BIGINT UNSIGNED NOT NULL,
  user_data MEDIUMTEXT NOT NULL,
  desired VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shutdown VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'soft',
  generation BIGINT UNSIGNED NOT NULL DEFAULT 1,
  need_policy_version BIGINT UNSIGNED NOT NULL DEFAULT 0,
  ran_before TINYINT NOT NULL DEFAULT 0,
  -- The host is to be left: everything there is removed, then the instance is placed elsewhere.
  leaving_host TINYINT NOT NULL DEFAULT 0,
  placements INT UNSIGNED NOT NULL DEFAULT 1,
  tried_hosts TEXT NOT NULL,
  operation CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  failure_code VARCHAR(64) NULL,
  failure_message TEXT NULL,
  failure_final TINYINT NOT NULL DEFAULT 0,
  placement MEDIUMTEXT NULL,
  state_since DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  terminated_at DATETIME(3) NULL,
  UNIQUE KEY hostname (account_id, hostname_taken),
  KEY on_host (host_node_id, terminated_at),
  KEY of_account (account_id, terminated_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS network_vifs (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instance_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  device_index INT UNSIGNED NOT NULL,
  mac CHAR(17) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ipv4 INT UNSIGNED NOT NULL,
  need_network_version BIGINT UNSIGNED NOT NULL,
  created_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL,
  KEY of_instance (instance_id),
  KEY of_network (network_id, deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS network_vif_security_groups (
  vif_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  security_group_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (vif_id, security_group_id),
  KEY of_group (security_group_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS volumes (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  storage_node_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  backend_key VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  size_bytes BIGINT UNSIGNED NOT NULL,
  wanted TINYINT NOT NULL DEFAULT 1,
  was_present TINYINT NOT NULL DEFAULT 0,
  generation BIGINT UNSIGNED NOT NULL DEFAULT 1,
  epoch BIGINT UNSIGNED NOT NULL DEFAULT 0,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  failure_code VARCHAR(64) NULL,
  failure_message TEXT NULL,
  failure_final TINYINT NOT NULL DEFAULT 0,
  state_since DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  attached_at DATETIME(3) NULL,
  detached_at DATETIME(3) NULL,
  deleted_at DATETIME(3) NULL,
  KEY of_account (account_id, deleted_at),
  KEY on_node (storage_node_id, deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- A volume has at most one open attachment (`open` is 1, NULL once closed).
CREATE TABLE IF NOT EXISTS attachments (
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  volume_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instance_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  epoch BIGINT UNSIGNED NOT NULL,
  wanted TINYINT NOT NULL DEFAULT 1,
  open TINYINT NULL DEFAULT 1,
  generation BIGINT UNSIGNED NOT NULL DEFAULT 1,
  chap_user VARCHAR(63) NOT NULL,
  chap_secret_sealed VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  closed_at DATETIME(3) NULL,
  UNIQUE KEY one_open (volume_id, open),
  KEY of_instance (instance_id, open)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS facts (
  thing VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  agent_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  value VARCHAR(5) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  generation BIGINT UNSIGNED NOT NULL DEFAULT 0,
  incarnation BIGINT UNSIGNED NOT NULL DEFAULT 0,
  observed BIGINT UNSIGNED NOT NULL DEFAULT 0,
  detail TEXT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (thing, agent_id, name),
  KEY of_agent (agent_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The outbox. `open` is 1 while the job may still act, NULL after: one open job per (thing, agent).
CREATE TABLE IF NOT EXISTS jobs (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  kind VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  thing VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  agent_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  generation BIGINT UNSIGNED NOT NULL,
  operation CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
  state VARCHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  open TINYINT NULL DEFAULT 1,
  attempt INT UNSIGNED NOT NULL DEFAULT 1,
  not_before DATETIME(3) NOT NULL,
  -- The claim of the relay that rings next; committed before anything is published.
  rung_at DATETIME(3) NULL,
  rings INT UNSIGNED NOT NULL DEFAULT 0,
  deadline DATETIME(3) NOT NULL,
  progress TINYINT UNSIGNED NULL,
  progress_note VARCHAR(200) NULL,
  error_code VARCHAR(64) NULL,
  error_message TEXT NULL,
  request_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(3) NOT NULL,
  finished_at DATETIME(3) NULL,
  UNIQUE KEY one_open (thing, agent_id, open),
  KEY due (open, rung_at, not_before),
  KEY of_agent (agent_id, open),
  KEY of_thing (thing, seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The timeline. `number` is given after commit by one writer at a time: readers that ask "after N" miss nothing.
CREATE TABLE IF NOT EXISTS events (
  id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  number BIGINT UNSIGNED NULL UNIQUE,
  at DATETIME(3) NOT NULL,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  resource VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  code VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  vals TEXT NOT NULL,
  job_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
  request_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
  KEY of_resource (resource, number),
  KEY by_age (at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Every mutating call. A connection lost during COMMIT is resolved by looking for its request id here.
CREATE TABLE IF NOT EXISTS audit_log (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  request_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  at DATETIME(3) NOT NULL,
  token_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  address VARCHAR(64) NOT NULL,
  verb VARCHAR(40) NOT NULL,
  resource VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  KEY by_age (at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS idempotency_keys (
  token_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  idempotency_key VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  resource VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (token_id, idempotency_key)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
