-- Addresses are counted as used, as machines and volumes are: from here on also those that are given out already.
INSERT INTO usage_intervals (resource, account_id, what, begun_at)
  SELECT v.id, v.account_id, 'held', v.created_at FROM network_vifs v
  WHERE v.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM usage_intervals u WHERE u.resource = v.id);
INSERT INTO usage_intervals (resource, account_id, what, begun_at)
  SELECT h.id, p.account_id, 'held', h.created_at FROM ip_handles h JOIN ip_pools p ON p.id = h.ip_pool_id
  WHERE NOT EXISTS (SELECT 1 FROM usage_intervals u WHERE u.resource = h.id);

-- A volume that was made with a machine goes with it, unless it was detached before.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'attachments' AND column_name = 'delete_volume');
SET @change = IF(@missing, 'ALTER TABLE attachments ADD COLUMN delete_volume TINYINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_attachments FROM @change;
EXECUTE change_attachments;
DEALLOCATE PREPARE change_attachments;
