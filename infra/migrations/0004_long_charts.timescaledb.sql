-- Weeks (from Monday, UTC) and months out of daily bars, for long charts.
--
-- first() and last() break ties arbitrarily; a series has one D1 bar for each open_time, so there
-- are none. Bars themselves never come from an aggregate. WITH NO DATA, because filling one is
-- refused inside a transaction: 0005 does it.

CREATE MATERIALIZED VIEW bars_w1
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT symbol, venue,
       time_bucket(INTERVAL '7 days', open_time) AS open_time,
       first(open, open_time) AS open,
       max(high) AS high,
       min(low) AS low,
       last(close, open_time) AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades) AS trades
FROM bars
WHERE timeframe = 'D1'
GROUP BY 1, 2, 3
WITH NO DATA;

CREATE MATERIALIZED VIEW bars_mn1
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT symbol, venue,
       time_bucket(INTERVAL '1 month', open_time) AS open_time,
       first(open, open_time) AS open,
       max(high) AS high,
       min(low) AS low,
       last(close, open_time) AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades) AS trades
FROM bars
WHERE timeframe = 'D1'
GROUP BY 1, 2, 3
WITH NO DATA;
