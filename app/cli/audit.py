"""``tapeline audit``: recomputes closed bars by another path, and says where they differ."""

import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from app.audit.gauges import Gauges
from app.audit.report import Report
from app.audit.run import audit as run
from app.audit.scope import Scope
from app.cli.terminal import AsJson, json_line, line, note
from app.errors import BrokerUnavailable, ConfigError, StoreUnavailable
from app.settings import Settings, load

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def audit(  # noqa: PLR0913 - options of the command line
    start: Annotated[str | None, typer.Option("--from", help="First open_time.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Open times are before it.")] = None,
    full: Annotated[bool, typer.Option("--full", help="All there is, with digests.")] = False,  # noqa: FBT002
    every: Annotated[str | None, typer.Option(help="Again and again, such as 5m.")] = None,
    port: Annotated[int, typer.Option(help="Metrics are served there; 0: none.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Differences of a kind printed.")] = 20,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Recompute closed bars by another path; the status is 0 only if nothing differs.

    What came since the last audit is read, and the ticks of the bars that closed. With --from or
    --to the bars of that span are judged, with --full everything.
    """
    settings = load()
    scope = Scope(is_full=full, start_us=_moment("--from", start), end_us=_moment("--to", end))
    if scope.is_full and scope.is_span:
        raise ConfigError("--full must stand without --from and --to")
    if every is None:
        report = run(settings, scope, limit)
        tell(report, as_json=as_json)
        if report.mismatches:
            raise typer.Exit(1)
        return
    with suppress(KeyboardInterrupt):
        _repeat(settings, scope, limit, _duration_s(every), port, as_json=as_json)


def tell(report: Report, *, as_json: bool) -> None:
    """Write what was found, and a last line of numbers."""
    for each in report.differences:
        if as_json:
            json_line(each)
        else:
            words = {name: text for name, text in each.items() if name != "what"}
            line(f"{each['what']}: " + ", ".join(f"{name} {text}" for name, text in words.items()))
    last = report.line()
    if as_json:
        json_line(last)
        return
    found = last.get("I2", {})
    line(
        f"{last['bars_checked']} bars checked, {last['mismatches']} mismatches, "
        f"{found.get('beyond_log', 0)} beyond the log, {found.get('open', 0)} open, "
        f"not audited {found.get('not_audited') or 'none'}, {last['seconds']} s"
    )


def _repeat(  # noqa: PLR0913 - what one audit is told, and how often
    settings: Settings, scope: Scope, limit: int, every_s: float, port: int, *, as_json: bool
) -> None:
    gauges = Gauges()
    gauges.serve(port)
    while True:
        began_s = time.monotonic()
        try:
            report = run(settings, scope, limit)
        except (BrokerUnavailable, StoreUnavailable) as error:
            gauges.failed()
            note(f"tapeline: {error}")
        else:
            gauges.audited(report)
            tell(report, as_json=as_json)
        time.sleep(max(0.0, began_s + every_s - time.monotonic()))


def _moment(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option} must be a day, a time in ISO 8601 or microseconds, was {text!r}"
        ) from None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


def _duration_s(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if found is None:
        raise ConfigError(f"--every must be a duration, such as 5m, was {text!r}")
    return float(found[1]) * UNITS_S[found[2]]
