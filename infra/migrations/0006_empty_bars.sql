-- Bars without trades have no prices, or the close before them; repeats and quotes are counted.

ALTER TABLE bars
    ALTER COLUMN open DROP NOT NULL,
    ALTER COLUMN high DROP NOT NULL,
    ALTER COLUMN low DROP NOT NULL,
    ALTER COLUMN close DROP NOT NULL;
ALTER TABLE bars ADD COLUMN duplicates bigint NOT NULL DEFAULT 0;
ALTER TABLE bars ADD COLUMN quotes bigint NOT NULL DEFAULT 0;

ALTER TABLE bar_revisions
    ALTER COLUMN open DROP NOT NULL,
    ALTER COLUMN high DROP NOT NULL,
    ALTER COLUMN low DROP NOT NULL,
    ALTER COLUMN close DROP NOT NULL;
ALTER TABLE bar_revisions ADD COLUMN duplicates bigint NOT NULL DEFAULT 0;
ALTER TABLE bar_revisions ADD COLUMN quotes bigint NOT NULL DEFAULT 0;
