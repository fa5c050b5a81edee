-- The database is older than what agents have seen (a restored backup, a failover that lost commits): since when, and
-- by which sign it was noticed. Nothing that acts is asked of an agent until an operator confirms (DESIGN 3.6).
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'installation' AND column_name = 'memory_loss_at');
SET @change = IF(@missing, 'ALTER TABLE installation ADD COLUMN memory_loss_at DATETIME(3) NULL, ADD COLUMN memory_loss_sign VARCHAR(500) NULL', 'DO 0');
PREPARE change_installation FROM @change;
EXECUTE change_installation;
DEALLOCATE PREPARE change_installation;
