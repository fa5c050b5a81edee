-- Images that users register or upload. `brought_by`: the storage node's agent that fetches or receives the bytes first;
-- NULL is an operator's seed, which every storage node imports by itself. Until the bytes came, size_bytes is 0.
-- `offered_generation`: of an upload, the generation at which somebody brings the bytes; `ticket_sealed`: what they show.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'images' AND column_name = 'brought_by');
SET @change = IF(@missing, 'ALTER TABLE images ADD COLUMN brought_by VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN offered_generation BIGINT UNSIGNED NULL, ADD COLUMN ticket_sealed VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL', 'DO 0');
PREPARE change_images FROM @change;
EXECUTE change_images;
DEALLOCATE PREPARE change_images;
