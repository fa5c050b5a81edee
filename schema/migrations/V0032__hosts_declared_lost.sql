-- A host that an operator declared lost, and when. An attachment whose host was lost is fenced: `fencing` until that is proved.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'host_nodes' AND column_name = 'lost_at');
SET @change = IF(@missing, 'ALTER TABLE host_nodes ADD COLUMN lost_at DATETIME(3) NULL', 'DO 0');
PREPARE change_host_nodes FROM @change;
EXECUTE change_host_nodes;
DEALLOCATE PREPARE change_host_nodes;
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'attachments' AND column_name = 'fencing');
SET @change = IF(@missing, 'ALTER TABLE attachments ADD COLUMN fencing TINYINT(1) NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_attachments FROM @change;
EXECUTE change_attachments;
DEALLOCATE PREPARE change_attachments;
