-- Partitions of ticks: made before they are needed, and on demand for the days of a backfill.

CREATE TABLE tick_days (
    day         date        PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tick_days IS 'The days that ticks has a partition for; created_at decides retention.';

-- Makes the missing ones of `days` and returns how many. ATTACH lets readers and writers of the
-- other days go on, where CREATE TABLE ... PARTITION OF would lock them out.
CREATE FUNCTION add_tick_days(days date[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    wanted date;
    part   text;
    made   integer := 0;
BEGIN
    FOR wanted IN SELECT DISTINCT d FROM unnest(days) AS d EXCEPT SELECT day FROM tick_days ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(hashtext('tapeline.tick_days'));
        CONTINUE WHEN EXISTS (SELECT FROM tick_days WHERE day = wanted);
        part := 'ticks_' || to_char(wanted, 'YYYYMMDD');
        EXECUTE format('CREATE TABLE %I (LIKE ticks INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
        EXECUTE format(
            'ALTER TABLE ticks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            part, wanted::timestamp AT TIME ZONE 'UTC', (wanted + 1)::timestamp AT TIME ZONE 'UTC'
        );
        INSERT INTO tick_days (day) VALUES (wanted);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Drops one day with its ticks.
CREATE FUNCTION drop_tick_day(unwanted date) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tapeline.tick_days'));
    EXECUTE format('DROP TABLE IF EXISTS %I', 'ticks_' || to_char(unwanted, 'YYYYMMDD'));
    DELETE FROM tick_days WHERE day = unwanted;
END $$;
