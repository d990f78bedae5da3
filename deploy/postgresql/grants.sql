-- What the role that serves a forge needs in its ledger's database, and no more: it owns nothing, so it can neither
-- change history nor switch off the triggers that keep it. The tables are another role's, who made them by the forge's
-- first start, and who runs this after that, and after an upgrade of MedForge:
--   psql "$OWNERS_ADDRESS" -v role=medforge_server -f deploy/postgresql/grants.sql
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"role";
REVOKE CREATE ON SCHEMA public FROM PUBLIC, :"role";
GRANT USAGE ON SCHEMA public TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO :"role";
-- what only grows
GRANT INSERT ON journal, commits, tasks TO :"role";
-- an arrival's state and what becomes of its files; never whose it is, what it is, or when it came
GRANT INSERT, UPDATE (state, reason, admitted, erase, erased) ON arrivals TO :"role";
-- the sketch of a branch's images goes when the branch is erased
GRANT INSERT, UPDATE (images) ON origins TO :"role";
GRANT INSERT, UPDATE (key, certificate, invited_at, revoked_at) ON contributors TO :"role";
GRANT INSERT, UPDATE (value) ON facts TO :"role";
