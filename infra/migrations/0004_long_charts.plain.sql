-- Weeks (from Monday, UTC) and months out of daily bars, for long charts.

CREATE VIEW bars_w1 AS
SELECT symbol, venue,
       date_trunc('week', open_time, 'UTC') AS open_time,
       (array_agg(open ORDER BY open_time))[1] AS open,
       max(high) AS high,
       min(low) AS low,
       (array_agg(close ORDER BY open_time DESC))[1] AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades) AS trades
FROM bars
WHERE timeframe = 'D1'
GROUP BY 1, 2, 3;

CREATE VIEW bars_mn1 AS
SELECT symbol, venue,
       date_trunc('month', open_time, 'UTC') AS open_time,
       (array_agg(open ORDER BY open_time))[1] AS open,
       max(high) AS high,
       min(low) AS low,
       (array_agg(close ORDER BY open_time DESC))[1] AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades) AS trades
FROM bars
WHERE timeframe = 'D1'
GROUP BY 1, 2, 3;
