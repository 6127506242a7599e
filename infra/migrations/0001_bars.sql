-- The newest emission of every bar, the history of the final ones, and how far each sink came.

CREATE TABLE bars (
    symbol            text           NOT NULL,
    venue             text           NOT NULL,
    timeframe         text           NOT NULL,
    open_time         timestamptz    NOT NULL,
    close_time        timestamptz    NOT NULL,
    open              numeric(38,12) NOT NULL,
    high              numeric(38,12) NOT NULL,
    low               numeric(38,12) NOT NULL,
    close             numeric(38,12) NOT NULL,
    volume            numeric(38,12) NOT NULL,
    notional          numeric(60,24) NOT NULL,
    vwap              numeric(38,12),
    trades            bigint         NOT NULL,
    revision          integer        NOT NULL,
    reason            text           NOT NULL,
    is_final          boolean        NOT NULL,
    complete          boolean        NOT NULL,
    partial           boolean        NOT NULL,
    late              bigint         NOT NULL,
    source_partition  integer        NOT NULL,
    first_offset      bigint         NOT NULL,
    last_offset       bigint         NOT NULL,
    PRIMARY KEY (symbol, venue, timeframe, open_time),
    CONSTRAINT bars_low_to_high CHECK (low <= high),
    CONSTRAINT bars_open_to_close CHECK (open_time < close_time)
);
COMMENT ON TABLE bars IS 'Newest emission of each bar, by (revision, last_offset).';

-- Two workers may each have emitted a revision of the same number from different offsets; the
-- history keeps both.
CREATE TABLE bar_revisions (
    LIKE bars INCLUDING CONSTRAINTS,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, venue, timeframe, open_time, revision, last_offset)
);
COMMENT ON TABLE bar_revisions IS 'Every emission with revision >= 1, as it was emitted.';

CREATE TABLE sink_offsets (
    sink             text    NOT NULL,
    topic            text    NOT NULL,
    partition        integer NOT NULL,
    next_offset      bigint  NOT NULL DEFAULT 0,
    next_raw_offset  bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (sink, topic, partition)
);
COMMENT ON TABLE sink_offsets IS 'Written in the transaction that writes the rows below next_offset.';
