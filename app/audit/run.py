"""One audit, of the kind that is asked for."""

from contextlib import ExitStack

from app.audit.audit import Audit
from app.audit.cursor import cursor_file, load_cursor, save_cursor
from app.audit.increment import Increment
from app.audit.log import Log
from app.audit.report import Report
from app.audit.scope import Scope, database
from app.audit.span import Span
from app.settings import Settings


def audit(settings: Settings, scope: Scope, limit: int = 20) -> Report:
    """Audit once.

    Args:
        settings: Where all is.
        scope: What is audited. What is neither full nor a span goes on where the last such audit
            ended, and leaves a cursor for the next.
        limit: Differences of each kind that are kept.

    Raises:
        BrokerUnavailable: Kafka did not answer; likewise StoreUnavailable.
        LogShrunk: A log ends before what was audited of it.
    """
    report = Report(limit)
    with ExitStack() as stack:
        db = stack.enter_context(database())
        log = Log(settings)
        stack.callback(log.close)
        steps = Audit(settings, scope, db, log, report)
        stack.callback(steps.hot.close)
        if scope.is_full:
            steps.full()
        elif scope.is_span:
            Span(steps).run()
        else:
            path = cursor_file(settings)
            save_cursor(path, Increment(steps, load_cursor(path)).run())
        report.count("read", **log.records_read)
    return report
