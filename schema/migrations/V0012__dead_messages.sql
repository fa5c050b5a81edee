-- Heads of messages that the broker put aside after too many deliveries: shown by the audit for a day.
CREATE TABLE IF NOT EXISTS dead_messages (
  id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  put_aside_at DATETIME(3) NOT NULL,
  queue VARCHAR(63) NOT NULL,
  agent_id VARCHAR(63) NOT NULL,
  kind VARCHAR(63) NOT NULL,
  thing VARCHAR(63) NOT NULL,
  KEY by_time (put_aside_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
