"""The schema, its errors, and the way in."""

from json import JSONDecodeError
from typing import Any

import msgspec
import strawberry
import structlog
from cross_web import HTTPException
from graphql import GraphQLError
from strawberry.fastapi import GraphQLRouter
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionContext
from typing_extensions import override

from app.api.graphql.caller import Caller, caller
from app.api.graphql.limits import Limits
from app.api.graphql.queries import Query
from app.api.graphql.subscriptions import MOST_SUBSCRIPTIONS, Subscription
from app.api.graphql.types import CONFIG
from app.api.problems import Problem, problem_of
from app.settings import Settings

INIT_WITHIN_S = 10.0
_FIRST_SERVER_ERROR = 500

log = structlog.get_logger()


class _Schema(strawberry.Schema):
    @override
    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        for error in errors:
            _tell(error)


SCHEMA = _Schema(Query, subscription=Subscription, config=CONFIG, extensions=[Limits])


def _tell(error: GraphQLError) -> None:
    """Put a problem's members into an error, and nothing of ours."""
    cause = error.original_error
    if isinstance(cause, RecursionError):
        cause = Problem(400, "Bad request", "the document is too deep")
    # What validation found says which nodes; what came from a resolver, where in the answer.
    is_ours = error.path is not None or not error.nodes or isinstance(cause, Problem)
    if cause is None or isinstance(cause, GraphQLError) or not is_ours:
        cause = Problem(400, "Bad request", error.message)
    problem = problem_of(cause)
    if problem.status >= _FIRST_SERVER_ERROR:
        log.warning(
            "request failed", status=problem.status, path="/graphql",
            error=f"{type(cause).__name__}: {cause}",
        )  # fmt: skip
    error.message = problem.detail or problem.title
    error.extensions = problem.body()
    if "Retry-After" in problem.headers:
        error.extensions["retry_after_s"] = int(problem.headers["Retry-After"])


class _Router(GraphQLRouter[Caller, None]):
    @override
    def decode_json(self, data: str | bytes) -> object:
        """Return what a request says; also what Python's own parser fails at is no JSON."""
        try:
            return msgspec.json.decode(data)
        except (ValueError, RecursionError) as error:
            raise JSONDecodeError(str(error), "", 0) from None

    @override
    def encode_json(self, data: object) -> str:
        return msgspec.json.encode(data).decode()

    @override
    async def run(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer what is no GraphQL with a problem, as all else does."""
        try:
            return await super().run(request, *args, **kwargs)
        except HTTPException as error:
            title = "Method Not Allowed" if error.status_code == 405 else "Bad request"  # noqa: PLR2004
            raise Problem(error.status_code, title, error.reason) from None


def router(settings: Settings) -> GraphQLRouter[Caller, None]:
    """Return what answers at /graphql."""
    return _Router(
        SCHEMA,
        path="/graphql",
        graphql_ide=None,
        allow_queries_via_get=False,
        context_getter=caller,
        subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
        max_subscriptions_per_connection=MOST_SUBSCRIPTIONS,
        allowed_origins=settings.api_cors_origins,
        include_in_schema=False,
    )
