-- People who sign in with a password. A deleted user keeps the row, so that the log's ids stay somebody's; the name is
-- free again. The password is a PHC string (argon2id) or null: then nobody signs in by that name.
CREATE TABLE IF NOT EXISTS users (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
  name VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name_taken VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  display_name VARCHAR(255) NOT NULL DEFAULT '',
  enabled TINYINT NOT NULL DEFAULT 1,
  password VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL,
  UNIQUE KEY user_name (name_taken)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- For which accounts a user acts, and as what.
CREATE TABLE IF NOT EXISTS memberships (
  user_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (user_id, account_id),
  KEY of_account (account_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- A session is a token of a user: what it may do is read from the membership at every use.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'tokens' AND column_name = 'user_id');
SET @change = IF(@missing, 'ALTER TABLE tokens ADD COLUMN user_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD KEY of_user (user_id)', 'DO 0');
PREPARE change_tokens FROM @change;
EXECUTE change_tokens;
DEALLOCATE PREPARE change_tokens;

-- What was answered to the request that used a key, so that its repetition is answered alike, also by another dcmgr.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'idempotency_keys' AND column_name = 'answer');
SET @change = IF(@missing, 'ALTER TABLE idempotency_keys ADD COLUMN request_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN answer MEDIUMTEXT NULL', 'DO 0');
PREPARE change_keys FROM @change;
EXECUTE change_keys;
DEALLOCATE PREPARE change_keys;
