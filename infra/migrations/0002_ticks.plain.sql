-- All ticks, one partition a day of event time.
--
-- Not unique by key: the sink's offset, written in the same transaction, lets each tick in once,
-- and a unique index would halve the rate. There is no default partition: every new day would
-- have to scan it under a lock. add_tick_days (0003) makes the days that are needed.

CREATE TABLE ticks (
    venue        text           NOT NULL,
    symbol       text           NOT NULL,
    event_time   timestamptz    NOT NULL,
    ingest_time  timestamptz    NOT NULL,
    sequence     bigint,
    trade_id     text,
    price        numeric(38,12),
    size         numeric(38,12),
    bid          numeric(38,12),
    ask          numeric(38,12),
    bid_size     numeric(38,12),
    ask_size     numeric(38,12),
    action       text           NOT NULL,
    conditions   text[]         NOT NULL,
    source       text           NOT NULL,
    sector       text,
    quality      integer        NOT NULL,
    raw_offset   bigint,
    partition    integer        NOT NULL,
    tick_offset  bigint         NOT NULL
) PARTITION BY RANGE (event_time);

CREATE INDEX ticks_series ON ticks (symbol, venue, event_time, tick_offset);
