-- Sets a switch without a sub key, for ever.
INSERT INTO config_tbl ("key", value, latest_update_user, latest_update_ip, created_wall_ms, updated_wall_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?5)
ON CONFLICT ("key", sub_key) DO UPDATE
SET value = excluded.value, until_ms = 0, latest_update_user = excluded.latest_update_user,
    latest_update_ip = excluded.latest_update_ip, updated_wall_ms = excluded.updated_wall_ms;
