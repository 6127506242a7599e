"""Files of ticks: every line is a row or a named fault, and a bad one costs no other."""

from decimal import Decimal

from app.row_files import Line, rows


def read(text: str | bytes) -> list[Line]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(rows(raw.splitlines(keepends=True)))


def test_json_lines_are_rows_and_their_numbers_exact() -> None:
    assert read('{"price": 0.10, "n": 1}\n\n{"price": 1e-12}\n') == [
        Line(1, {"price": Decimal("0.10"), "n": 1}),
        Line(3, {"price": Decimal("1e-12")}),
    ]


def test_csv_is_read_by_its_header() -> None:
    assert read('symbol,conditions\r\nSPY,"@|T"\r\n\r\nAIG,\r\n') == [
        Line(2, {"symbol": "SPY", "conditions": "@|T"}),
        Line(4, {"symbol": "AIG", "conditions": ""}),
    ]


def test_a_byte_order_mark_and_empty_lines_before_the_first_are_passed_over() -> None:
    assert read("\ufeffsymbol\nSPY\n")[0].row == {"symbol": "SPY"}
    assert read('\n\ufeff{"a": 1}\n')[0] == Line(2, {"a": 1})


def test_a_line_that_is_no_row_is_named_and_the_next_is_read() -> None:
    lines = read('{"a": 1}\n{"a": \n[1]\n{"a": NaN}\n{"a": 1, "a": 2}\n{"b": 2}\n')

    assert [line.number for line in lines if line.row is None] == [2, 3, 4, 5]
    assert all(line.fault for line in lines if line.row is None)
    assert lines[-1].row == {"b": 2}
    assert "'a' stands twice" in lines[4 - 1 + 1].fault


def test_a_csv_line_with_another_number_of_fields_is_a_fault() -> None:
    assert read("a,b\n1\n1,2,3\n1,2\n") == [
        Line(2, None, "line must have 2 fields as the header has, had 1"),
        Line(3, None, "line must have 2 fields as the header has, had 3"),
        Line(4, {"a": "1", "b": "2"}),
    ]


def test_bytes_that_are_no_utf8_reach_no_tick() -> None:
    """They become lone surrogates, which every field refuses."""
    (line,) = read(b'{"symbol": "\xff"}\n')

    assert line.row == {"symbol": "\udcff"}


def test_an_empty_file_has_no_rows() -> None:
    assert read("") == read("\n\n") == []
