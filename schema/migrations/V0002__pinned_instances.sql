-- An instance whose request named its host stays there: it fails rather than being placed elsewhere.
-- MySQL 8.0 knows no ADD COLUMN IF NOT EXISTS; the look at information_schema makes the statement safe to run twice.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'instances' AND column_name = 'pinned');
SET @change = IF(@missing, 'ALTER TABLE instances ADD COLUMN pinned TINYINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_instances FROM @change;
EXECUTE change_instances;
DEALLOCATE PREPARE change_instances;
