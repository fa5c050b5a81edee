-- Tickets of consoles, as digests: used once, within half a minute. A row whose console is open is touched now and then by
-- the dcmgr that holds it; one that was not touched any more belongs to a dcmgr that died, and is closed by another.
CREATE TABLE IF NOT EXISTS console_tickets (
  ticket_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  instance_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  token_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  account_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  address VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  opened_at DATETIME(3) NULL,
  seen_at DATETIME(3) NULL,
  closed_at DATETIME(3) NULL,
  KEY by_age (created_at),
  KEY open_ones (closed_at, seen_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
