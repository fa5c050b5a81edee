-- What lets one machine join as one agent, once. The secret is kept as a digest; so is the key of the machine that used it, by
-- which the same machine is known when it asks again.
CREATE TABLE IF NOT EXISTS join_tokens (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  agent_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  secret_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  created_by VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  revoked_at DATETIME(3) NULL,
  used_at DATETIME(3) NULL,
  used_key_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  used_from VARCHAR(64) NULL,
  used_machine VARCHAR(64) NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
