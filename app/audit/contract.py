"""The tick contract as SQL: accepted ticks that break it (see schemas/tick.avsc)."""

from app.audit.partials import LARGEST

BROKEN = f"""
SELECT venue || ' ' || symbol || ' at ' || p || ':' || off, 'tick', 'the contract kept',
       coalesce(price::VARCHAR, '') || ' x ' || coalesce(size::VARCHAR, '')
FROM chunk
WHERE NOT coalesce(
    regexp_full_match(venue, '[A-Z0-9_]{{1,32}}')
    AND regexp_full_match(symbol, '[A-Z0-9._/-]{{1,32}}')
    AND decode(key) = symbol AND raw_offset IS NOT NULL AND event_time >= 631152000000000
    AND (price IS NULL) = (size IS NULL) AND coalesce(price, 1) BETWEEN 1 AND {LARGEST}
    AND coalesce(size, 0) BETWEEN 0 AND {LARGEST} AND coalesce(bid, 0) BETWEEN 0 AND {LARGEST}
    AND coalesce(ask, 0) BETWEEN 0 AND {LARGEST} AND coalesce(bid_size, 0) BETWEEN 0 AND {LARGEST}
    AND coalesce(ask_size, 0) BETWEEN 0 AND {LARGEST}
    AND (action = 'NEW' OR trade_id IS NOT NULL)
    AND (action = 'CANCEL' OR coalesce(price, bid, ask) IS NOT NULL), false)
"""
"""Of the table `chunk`: name, field, expected and found."""
