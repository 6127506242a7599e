-- no transaction
-- The policies of the long charts that 0007 made.

CALL refresh_continuous_aggregate('bars_w1', NULL, NULL);
CALL refresh_continuous_aggregate('bars_mn1', NULL, NULL);
SELECT add_continuous_aggregate_policy('bars_w1', start_offset => NULL, end_offset => INTERVAL '7 days', schedule_interval => INTERVAL '1 hour', if_not_exists => true);
SELECT add_continuous_aggregate_policy('bars_mn1', start_offset => NULL, end_offset => INTERVAL '1 month', schedule_interval => INTERVAL '1 hour', if_not_exists => true);
