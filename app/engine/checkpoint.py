"""Checkpoints that are atomic, on a changelog that is not.

The changelog of a Faust table takes one record per row, and a crash can leave half of them.
So each checkpoint first writes a journal, all its rows once more under reserved keys, and then
the rows. Records of one partition keep their order, hence after a crash either

- the journal is incomplete: none of its rows was written, the state is the checkpoint before; or
- it is complete: laid over the rows it makes the checkpoint whole, however many were written.

One offset, saved as a row like any other, therefore fences the whole partition.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

JOURNAL = "\x00journal|"
CHUNK_BYTES = 512 << 10

Row = tuple[str, str | None]
"""A key and its JSON value; None forgets the key."""


def row_key(partition: int, key: str) -> bytes:
    """Return the table key of a row: tables mix partitions, so the key names its own."""
    return f"{partition}|{key}".encode()


def records(partition: int, number: int, rows: list[Row]) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the changelog records of one checkpoint, in the order they must be written.

    Args:
        partition: The partition whose state it is.
        number: The checkpoint's number, one more than the one before.
        rows: What changed since then.
    """
    chunks = list(_chunks(rows))
    for n, chunk in enumerate(chunks):
        value = json.dumps({"number": number, "of": len(chunks), "rows": chunk})
        yield row_key(partition, f"{JOURNAL}{n}"), value.encode()
    for key, row in rows:
        yield row_key(partition, key), None if row is None else row.encode()


def restored(partition: int, table: Mapping[bytes, bytes]) -> tuple[int, dict[str, str]]:
    """Return the number of the last whole checkpoint (0 for none) and its rows.

    Args:
        partition: The partition to restore.
        table: The table as Faust recovered it from the changelog, all partitions mixed.
    """
    prefix = row_key(partition, "")
    rows: dict[str, str] = {}
    journal = []
    for key, value in table.items():
        if not key.startswith(prefix):
            continue
        name = key[len(prefix) :].decode()
        if name.startswith(JOURNAL):
            journal.append((int(name[len(JOURNAL) :]), json.loads(value)))
        else:
            rows[name] = value.decode()
    numbers = [chunk["number"] for _, chunk in journal]
    if not numbers:
        return 0, rows
    newest = max(numbers)
    chunks = [
        chunk for _, chunk in sorted(journal, key=lambda c: c[0]) if chunk["number"] == newest
    ]
    if len(chunks) < chunks[0]["of"]:
        return newest - 1, rows
    for chunk in chunks:
        for key, value in chunk["rows"]:
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
    return newest, rows


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    size = 0
    for key, value in rows:
        chunk.append((key, value))
        size += len(key) + len(value or "")
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk
