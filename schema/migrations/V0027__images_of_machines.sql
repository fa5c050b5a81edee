-- Images that are copies of machines' disks: the machine, the host's agent that makes the copy, what the storage node shows to
-- fetch it; `capture_over`: the host answered that no copy is left there. Backups that are copies of other backups or of
-- images, on other storage nodes. Statements may run twice.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'images' AND column_name = 'captured_from');
SET @change = IF(@missing, 'ALTER TABLE images ADD COLUMN captured_from VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN capture_agent VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN capture_over TINYINT NOT NULL DEFAULT 0, ADD COLUMN capture_reader_sealed VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN parent_image_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN backup_object_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD KEY captured (captured_from, capture_over), ADD KEY capturing (capture_agent, capture_over)', 'DO 0');
PREPARE change_images FROM @change;
EXECUTE change_images;
DEALLOCATE PREPARE change_images;
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'backup_objects' AND column_name = 'copied_object_id');
SET @change = IF(@missing, 'ALTER TABLE backup_objects ADD COLUMN copied_object_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN copied_image_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD KEY copied_object (copied_object_id, deleted_at), ADD KEY copied_image (copied_image_id, deleted_at)', 'DO 0');
PREPARE change_backup_objects FROM @change;
EXECUTE change_backup_objects;
DEALLOCATE PREPARE change_backup_objects;
