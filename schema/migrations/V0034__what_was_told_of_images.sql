-- The state of an image that its timeline told last: what users see follows from facts, and a change of it is told once.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'images' AND column_name = 'told_state');
SET @change = IF(@missing, 'ALTER TABLE images ADD COLUMN told_state VARCHAR(20) NOT NULL DEFAULT ''creating''', 'DO 0');
PREPARE change_images FROM @change;
EXECUTE change_images;
DEALLOCATE PREPARE change_images;
-- What was there before was seen by everybody who looked.
UPDATE images SET told_state = CASE
    WHEN deleted_at IS NOT NULL THEN 'deleted'
    WHEN EXISTS (SELECT 1 FROM facts f WHERE f.thing = images.id AND f.name = 'image' AND f.value = 'yes') THEN 'available'
    WHEN failure_code IS NOT NULL THEN 'failed'
    WHEN source = 'upload:' AND size_bytes = 0 THEN 'pending'
    ELSE 'creating' END
  WHERE @missing;
