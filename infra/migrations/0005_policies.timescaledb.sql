-- no transaction
-- Background jobs. Age counts from a chunk's creation, not from its event times: a replay of old
-- ticks is kept as long as live ones are, and is not compressed under its writer.

CALL add_columnstore_policy('ticks', created_before => INTERVAL '3 days', if_not_exists => true);
CALL add_columnstore_policy('bars', created_before => INTERVAL '30 days', if_not_exists => true);
CALL add_columnstore_policy('bar_revisions', created_before => INTERVAL '30 days', if_not_exists => true);

SELECT add_retention_policy('ticks', drop_created_before => INTERVAL '90 days', if_not_exists => true);

CALL refresh_continuous_aggregate('bars_w1', NULL, NULL);
CALL refresh_continuous_aggregate('bars_mn1', NULL, NULL);
SELECT add_continuous_aggregate_policy('bars_w1', start_offset => NULL, end_offset => INTERVAL '7 days', schedule_interval => INTERVAL '1 hour', if_not_exists => true);
SELECT add_continuous_aggregate_policy('bars_mn1', start_offset => NULL, end_offset => INTERVAL '1 month', schedule_interval => INTERVAL '1 hour', if_not_exists => true);
