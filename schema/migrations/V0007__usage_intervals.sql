-- What was used of the data center, by whom, from when to when: closed and opened by the change of state itself, in its
-- transaction, so that it never drifts from the rows (DESIGN 4). The number is the order within this table and nothing
-- outside sees it.
CREATE TABLE IF NOT EXISTS usage_intervals (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  resource VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  what VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  cpu_cores INT UNSIGNED NOT NULL DEFAULT 0,
  memory_mib BIGINT UNSIGNED NOT NULL DEFAULT 0,
  disk_mib BIGINT UNSIGNED NOT NULL DEFAULT 0,
  begun_at DATETIME(3) NOT NULL,
  ended_at DATETIME(3) NULL,
  open TINYINT NULL DEFAULT 1,
  UNIQUE KEY one_open_interval (resource, open),
  KEY of_account (account_id, begun_at),
  KEY ended (ended_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
