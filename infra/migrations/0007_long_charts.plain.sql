-- Weeks and months again: a day without trades has no part in their prices. Without trades in all
-- of it a week has none.

DROP VIEW bars_w1, bars_mn1;

CREATE VIEW bars_w1 AS
SELECT symbol, venue,
       date_trunc('week', open_time, 'UTC') AS open_time,
       (array_agg(open ORDER BY open_time)
           FILTER (WHERE trades > 0 AND open IS NOT NULL))[1] AS open,
       max(high) FILTER (WHERE trades > 0) AS high,
       min(low) FILTER (WHERE trades > 0) AS low,
       (array_agg(close ORDER BY open_time DESC)
           FILTER (WHERE trades > 0 AND close IS NOT NULL))[1] AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades) AS trades
FROM bars
WHERE timeframe = 'D1'
GROUP BY 1, 2, 3;

CREATE VIEW bars_mn1 AS
SELECT symbol, venue,
       date_trunc('month', open_time, 'UTC') AS open_time,
       (array_agg(open ORDER BY open_time)
           FILTER (WHERE trades > 0 AND open IS NOT NULL))[1] AS open,
       max(high) FILTER (WHERE trades > 0) AS high,
       min(low) FILTER (WHERE trades > 0) AS low,
       (array_agg(close ORDER BY open_time DESC)
           FILTER (WHERE trades > 0 AND close IS NOT NULL))[1] AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades) AS trades
FROM bars
WHERE timeframe = 'D1'
GROUP BY 1, 2, 3;
