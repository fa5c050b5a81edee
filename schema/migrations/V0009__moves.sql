-- Machines between two hosts: a row from the moment a move is asked for until the machine is on one host alone. `host_node_id`
-- of the instance is the host it comes from until then. `wish` says where it is to run: `to`, or `from` when the move was
-- taken back or given up.
-- `*_may_use` is what the plan of a move calls the attachment of the disks at each host, with its generation: a machine with
-- nothing but its own disk has no storage node that could say so.
CREATE TABLE IF NOT EXISTS instance_moves (
  instance_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  from_host_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  to_host_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  wish VARCHAR(4) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  attempts INT UNSIGNED NOT NULL DEFAULT 0,
  need_policy_version BIGINT UNSIGNED NOT NULL,
  from_may_use TINYINT NOT NULL DEFAULT 1,
  from_use_generation BIGINT UNSIGNED NOT NULL DEFAULT 0,
  to_may_use TINYINT NOT NULL DEFAULT 0,
  to_use_generation BIGINT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME(3) NOT NULL,
  KEY to_host (to_host_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
