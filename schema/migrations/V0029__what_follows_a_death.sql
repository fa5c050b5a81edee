-- What follows when a guest dies by itself, how often it did lately, and until when it rests before it is started again.
-- A disk that its guest does not let go may be taken away by force.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'instances' AND column_name = 'restart_policy');
SET @change = IF(@missing, 'ALTER TABLE instances ADD COLUMN restart_policy VARCHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT ''always'', ADD COLUMN deaths INT UNSIGNED NOT NULL DEFAULT 0, ADD COLUMN died_at DATETIME(3) NULL, ADD COLUMN rests_until DATETIME(3) NULL', 'DO 0');
PREPARE change_instances FROM @change;
EXECUTE change_instances;
DEALLOCATE PREPARE change_instances;
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'attachments' AND column_name = 'forced');
SET @change = IF(@missing, 'ALTER TABLE attachments ADD COLUMN forced TINYINT(1) NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_attachments FROM @change;
EXECUTE change_attachments;
DEALLOCATE PREPARE change_attachments;
