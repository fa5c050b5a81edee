-- Time servers that a network tells its guests (option 42), and whether its DNS questions are logged. Statements may run
-- twice; MySQL 8.0 knows no ADD COLUMN IF NOT EXISTS.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'networks' AND column_name = 'ntp_servers');
SET @change = IF(@missing, 'ALTER TABLE networks ADD COLUMN ntp_servers TEXT CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN query_log TINYINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_networks FROM @change;
EXECUTE change_networks;
DEALLOCATE PREPARE change_networks;
