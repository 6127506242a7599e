-- Bars as hypertables: their primary keys contain open_time, as TimescaleDB asks.

SELECT create_hypertable('bars', by_range('open_time', INTERVAL '7 days'), create_default_indexes => false);
SELECT create_hypertable('bar_revisions', by_range('open_time', INTERVAL '7 days'), create_default_indexes => false);

ALTER TABLE bars SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'symbol, venue, timeframe',
    timescaledb.orderby = 'open_time'
);
ALTER TABLE bar_revisions SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'symbol, venue, timeframe',
    timescaledb.orderby = 'open_time, revision, last_offset'
);

-- The extension sends usage data to its maker unless told not to.
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET timescaledb.telemetry_level = ''off''', current_database());
END $$;
