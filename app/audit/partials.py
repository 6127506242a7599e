"""The SQL by which a chunk of ticks becomes partial bars of the shortest timeframe.

Prices and sizes are whole numbers of 1e-12. A product of two has up to 54 digits, so both are
split at 1e14 and the parts summed apart.
"""

from app.audit import rules

LIMB = 10**14
LARGEST = 10**27
"""1e15: the contract's limit of a price or size; what is beyond is told, not summed."""
NEVER = -(2**62)
DAY_US = 86_400_000_000
NEAR = 1_000
"""Offsets that are sooner read than skipped."""

TABLES = """
CREATE TABLE streams (kind VARCHAR, name VARCHAR, symbol VARCHAR, p INTEGER, stream_us BIGINT,
    ahead_us BIGINT, PRIMARY KEY (kind, name, symbol));
CREATE TABLE clocks (p INTEGER, tick_off BIGINT, now_us BIGINT);
CREATE TABLE amendments (venue VARCHAR, symbol VARCHAR, trade_id VARCHAR, price HUGEINT,
    size HUGEINT, p INTEGER, off BIGINT, append_us BIGINT, at_us BIGINT, is_new BOOLEAN);
CREATE TABLE excluded (p INTEGER, off BIGINT, kind VARCHAR, name VARCHAR, why VARCHAR);
CREATE TABLE dirty (side VARCHAR, name VARCHAR, symbol VARCHAR, base_us BIGINT);
CREATE TABLE parts (side VARCHAR, name VARCHAR, symbol VARCHAR, p INTEGER, base_us BIGINT,
    opened STRUCT(at_us BIGINT, seq BIGINT, id VARCHAR, price HUGEINT, size HUGEINT),
    closed STRUCT(at_us BIGINT, seq BIGINT, id VARCHAR, price HUGEINT, size HUGEINT),
    high HUGEINT, low HUGEINT, volume HUGEINT, n2 HUGEINT, n1 HUGEINT, n0 HUGEINT,
    n BIGINT, first_off BIGINT, last_off BIGINT, is_maybe BOOLEAN);
CREATE VIEW amended AS
    SELECT venue, symbol, trade_id, arg_max(ROW(price, size), off) AS now
    FROM amendments GROUP BY ALL;
"""

TICK = """
CREATE OR REPLACE TEMP TABLE tick AS
SELECT *, coalesce(raw_offset <= greatest($newest, coalesce(max(raw_offset) OVER earlier, -1)),
                   false) AS is_repeat
FROM chunk WINDOW earlier AS (ORDER BY off ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
"""
"""A zombie's repeat is known by a raw offset that does not rise."""

EVENT = f"""
CREATE OR REPLACE TEMP TABLE event AS
WITH own AS (
    SELECT t.*, m.name, m.codes, m.profile,
           CASE WHEN m.clock = 'ingest' THEN ingest_time ELSE event_time END AS at_us
    FROM tick t JOIN members m ON t.venue = m.venue AND t.symbol = m.symbol
    WHERE action = 'NEW' AND NOT is_repeat
)
SELECT 'trade' AS kind, venue, symbol, name, codes, profile, p, off, append_us, at_us,
       coalesce(sequence, -1) AS seq, trade_id, price::HUGEINT AS price,
       coalesce(size::HUGEINT, 0) AS size, NULL::HUGEINT AS ask, conditions
FROM own WHERE price BETWEEN -{LARGEST} AND {LARGEST} AND coalesce(size, 0) <= {LARGEST}
UNION ALL
SELECT 'quote', venue, symbol, name, '', profile, p, off, append_us, at_us,
       coalesce(sequence, -1), trade_id, bid::HUGEINT, 0, ask::HUGEINT, NULL
FROM own WHERE (bid IS NOT NULL OR ask IS NOT NULL)
    AND coalesce(bid, 0) <= {LARGEST} AND coalesce(ask, 0) <= {LARGEST}
    AND EXISTS (SELECT 1 FROM series s WHERE s.name = own.name AND s.symbol = own.symbol
                AND len(s.sides) > 0)
"""

TIMED = """
CREATE OR REPLACE TEMP TABLE timed AS
SELECT e.*, r.width_us,
       greatest(coalesce(max(at_us) OVER w, $never), coalesce(s.stream_us, $never)) AS before_us,
       greatest(coalesce(max(at_us - append_us) OVER w, $never), coalesce(s.ahead_us, $never))
           AS ahead_us
FROM event e
JOIN rungs r ON r.name = e.name AND r.symbol = e.symbol AND r.timeframe = $base
LEFT JOIN streams s ON s.kind = e.kind AND s.name = e.name AND s.symbol = e.symbol
WINDOW w AS (PARTITION BY e.kind, e.name, e.symbol ORDER BY e.off
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
"""

BEYOND = """
INSERT INTO excluded
SELECT t.p, t.off, t.kind, t.name,
       CASE WHEN at_us - at_us % width_us + width_us + $revise_us < before_us
            THEN 'beyond' ELSE 'maybe' END
FROM timed t
ASOF LEFT JOIN clocks c ON c.p = t.p AND c.tick_off < t.off
WHERE at_us - at_us % width_us + width_us + $revise_us
      < greatest(before_us, coalesce(c.now_us + ahead_us, before_us))
"""
"""Later than revise_for: recorded alone. What only the clock could have made so late is a maybe:
when it moved a series depends on what was due, which is the application's own word."""

STREAMS = """
INSERT OR REPLACE INTO streams
SELECT kind, name, symbol, any_value(p), max(greatest(at_us, before_us)),
       max(greatest(at_us - append_us, ahead_us))
FROM timed GROUP BY kind, name, symbol
"""

CODED = """
SELECT DISTINCT e.codes, e.at_us // 86400000000 AS day,
       coalesce(NOT s.is_open, false) AS is_outside, e.conditions
FROM event e
ASOF LEFT JOIN (SELECT * FROM spans WHERE how = 'segment') s
    ON s.profile = e.profile AND s.begin_us <= e.at_us
WHERE e.codes <> '' AND len(e.conditions) > 0
"""

CODED_ROWS = "CREATE TEMP TABLE coded_rows (p INTEGER, off BIGINT, name VARCHAR, uses INTEGER)"

PARTS = f"""
INSERT INTO parts
WITH known AS (
    SELECT e.*, coalesce(u.uses, {rules.EVERYTHING}) AS allowed, x.why IS NOT NULL AS is_maybe
    FROM event e
    LEFT JOIN (SELECT DISTINCT p, off, kind, name, why FROM excluded) x
        ON x.p = e.p AND x.off = e.off AND x.kind = e.kind AND x.name = e.name
    LEFT JOIN coded_rows u ON u.p = e.p AND u.off = e.off AND u.name = e.name AND e.kind = 'trade'
    WHERE x.why IS DISTINCT FROM 'beyond'
), counted AS (
    SELECT '' AS side, k.name, k.symbol, k.p, k.off, at_us, seq, coalesce(k.trade_id, '') AS id,
           coalesce(a.now[1], k.price) AS price, coalesce(a.now[2], k.size) AS size,
           CASE WHEN a.now IS NOT NULL AND a.now[1] IS NULL THEN 0 ELSE allowed END AS uses,
           is_maybe
    FROM known k LEFT JOIN amended a
        ON a.venue = k.venue AND a.symbol = k.symbol AND a.trade_id = k.trade_id
    WHERE kind = 'trade'
    UNION ALL
    SELECT side, name, symbol, p, off, at_us, seq, coalesce(trade_id, ''), price, 0, 3, is_maybe
    FROM (
        SELECT *, 'bid' AS side FROM known WHERE kind = 'quote' AND price IS NOT NULL
        UNION ALL
        SELECT * REPLACE (ask AS price), 'ask' FROM known WHERE kind = 'quote' AND ask IS NOT NULL
        UNION ALL
        SELECT * REPLACE ((price + ask) // 2 + CASE WHEN (price + ask) % 4 = 3 THEN 1 ELSE 0 END
                          AS price), 'mid'
        FROM known WHERE kind = 'quote' AND price <= ask
    )
), valued AS (
    SELECT *, ROW(at_us, seq, id, price, size) AS place, at_us - at_us % $width_us AS base_us,
           CASE WHEN uses & {rules.VOLUME} <> 0 THEN size ELSE 0 END AS s,
    FROM counted WHERE uses <> 0
)
SELECT side, name, symbol, p, base_us,
       min(place) FILTER (uses & {rules.OPEN_CLOSE} <> 0),
       max(place) FILTER (uses & {rules.OPEN_CLOSE} <> 0),
       max(price) FILTER (uses & {rules.HIGH_LOW} <> 0),
       min(price) FILTER (uses & {rules.HIGH_LOW} <> 0),
       sum(s), sum((price // {LIMB}) * (s // {LIMB})),
       sum((price // {LIMB}) * (s % {LIMB}) + (price % {LIMB}) * (s // {LIMB})),
       sum((price % {LIMB}) * (s % {LIMB})),
       count(*), min(off), max(off), bool_or(is_maybe)
FROM valued v
WHERE $everything OR EXISTS (SELECT 1 FROM dirty d WHERE d.side = v.side AND d.name = v.name
                             AND d.symbol = v.symbol AND d.base_us = v.base_us)
GROUP BY side, name, symbol, p, base_us
"""

AMENDMENTS = """
INSERT INTO amendments
SELECT venue, symbol, trade_id, CASE WHEN action = 'CORRECT' THEN price::HUGEINT END,
       CASE WHEN action = 'CORRECT' THEN size::HUGEINT END, p, off, append_us, event_time, true
FROM tick WHERE action <> 'NEW' AND NOT is_repeat
"""

DIRTY = """
CREATE OR REPLACE TABLE dirty AS
SELECT DISTINCT '' AS side, m.name, a.symbol,
       at_us - at_us % $width_us AS base_us
FROM (SELECT a.*, m.name AS own,
             CASE WHEN m.clock = 'ingest' THEN a.ingest_us ELSE a.event_us END AS at_us
      FROM accepted a JOIN members m ON m.venue = a.venue AND m.symbol = a.symbol
          AND m.name = a.venue
      WHERE EXISTS (SELECT 1 FROM amendments x WHERE x.venue = a.venue AND x.symbol = a.symbol
                    AND x.trade_id = a.trade_id)) a
JOIN members m ON m.venue = a.venue AND m.symbol = a.symbol
"""
