-- An interface comes into a machine that exists, and leaves it: its row says whether it is to stay, which generation of
-- the machine asked for it first (0: its network and policy are not served yet), and the policy that knows it.
ALTER TABLE network_vifs ADD COLUMN leaving TINYINT(1) NOT NULL DEFAULT 0,
  ADD COLUMN asked_generation BIGINT UNSIGNED NOT NULL DEFAULT 1,
  ADD COLUMN need_policy_version BIGINT UNSIGNED NOT NULL DEFAULT 0;

-- An external address is a handle of an ip pool that is bound to an interface. Taken away, it may be given back when the
-- network that translated it is served at a version without it. A network's way out: the network outside, its own address
-- there, whether those without an external address may use it, and the naming service that is the gateway.
ALTER TABLE ip_handles ADD COLUMN network_vif_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL UNIQUE,
  ADD COLUMN cool_network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN cool_version BIGINT UNSIGNED NOT NULL DEFAULT 0;
ALTER TABLE networks ADD COLUMN nat_network_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN outside_ipv4 INT UNSIGNED NULL,
  ADD COLUMN outbound TINYINT(1) NOT NULL DEFAULT 1,
  ADD COLUMN gateway_agent VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NULL;
