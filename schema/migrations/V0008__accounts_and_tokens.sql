-- Accounts and tokens that are made and ended through the API: what they are called, when a token was last used, and
-- who made it. A deleted account keeps its row, so that its id is never given to somebody else.
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'tokens' AND column_name = 'last_used_at');
SET @change = IF(@missing, 'ALTER TABLE tokens ADD COLUMN display_name VARCHAR(255) NOT NULL DEFAULT '''', ADD COLUMN last_used_at DATETIME(3) NULL, ADD COLUMN created_by VARCHAR(63) NULL, ADD KEY of_account (account_id)', 'DO 0');
PREPARE change_tokens FROM @change;
EXECUTE change_tokens;
DEALLOCATE PREPARE change_tokens;
SET @missing = (SELECT COUNT(*) = 0 FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = 'accounts' AND column_name = 'deleted_at');
SET @change = IF(@missing, 'ALTER TABLE accounts ADD COLUMN display_name VARCHAR(255) NOT NULL DEFAULT '''', ADD COLUMN deleted_at DATETIME(3) NULL', 'DO 0');
PREPARE change_accounts FROM @change;
EXECUTE change_accounts;
DEALLOCATE PREPARE change_accounts;
