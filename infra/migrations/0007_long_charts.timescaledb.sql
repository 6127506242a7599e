-- Weeks and months again: a day without trades has no part in their prices. Without trades in all
-- of it a week has none.
-- Their policies go with them: 0008 gives new ones.

DROP MATERIALIZED VIEW bars_w1;
DROP MATERIALIZED VIEW bars_mn1;

CREATE MATERIALIZED VIEW bars_w1
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT symbol, venue,
       time_bucket(INTERVAL '7 days', open_time) AS open_time,
       first(open, open_time) FILTER (WHERE trades > 0 AND open IS NOT NULL) AS open,
       max(high) FILTER (WHERE trades > 0) AS high,
       min(low) FILTER (WHERE trades > 0) AS low,
       last(close, open_time) FILTER (WHERE trades > 0 AND close IS NOT NULL) AS close,
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
       first(open, open_time) FILTER (WHERE trades > 0 AND open IS NOT NULL) AS open,
       max(high) FILTER (WHERE trades > 0) AS high,
       min(low) FILTER (WHERE trades > 0) AS low,
       last(close, open_time) FILTER (WHERE trades > 0 AND close IS NOT NULL) AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades) AS trades
FROM bars
WHERE timeframe = 'D1'
GROUP BY 1, 2, 3
WITH NO DATA;
