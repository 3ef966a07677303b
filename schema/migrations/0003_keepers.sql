-- The run id of a shard's keepers is looked up among deleted ones, too.
CREATE INDEX redis_keepers_ever ON redis_tbl (dc_cluster_shard_id) WHERE redis_role = 'keeper';

-- How many live keepers a container has, kept by the database: each choice of keepers compares all containers of a DC, and to
-- count 20,000 keepers for each new shard would take longer than to store it.
ALTER TABLE keepercontainer_tbl ADD COLUMN keeper_count INTEGER NOT NULL DEFAULT 0 CHECK (keeper_count >= 0);
UPDATE keepercontainer_tbl SET keeper_count =
    (SELECT count(*) FROM redis_tbl r WHERE r.keepercontainer_id = keepercontainer_tbl.keepercontainer_id AND r.deleted_at = 0);
CREATE TRIGGER keeper_count_insert AFTER INSERT ON redis_tbl
WHEN NEW.keepercontainer_id IS NOT NULL AND NEW.deleted_at = 0
BEGIN
    UPDATE keepercontainer_tbl SET keeper_count = keeper_count + 1 WHERE keepercontainer_id = NEW.keepercontainer_id;
END;
CREATE TRIGGER keeper_count_update AFTER UPDATE OF deleted_at, keepercontainer_id ON redis_tbl
WHEN OLD.keepercontainer_id IS NOT NULL OR NEW.keepercontainer_id IS NOT NULL
BEGIN
    UPDATE keepercontainer_tbl SET keeper_count = keeper_count - 1
    WHERE keepercontainer_id = OLD.keepercontainer_id AND OLD.deleted_at = 0;
    UPDATE keepercontainer_tbl SET keeper_count = keeper_count + 1
    WHERE keepercontainer_id = NEW.keepercontainer_id AND NEW.deleted_at = 0;
END;
