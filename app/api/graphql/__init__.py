"""GraphQL at /graphql: the same answers as REST, and subscriptions over graphql-transport-ws.

Whoever may call is decided as for REST, and what is found comes from the same functions. Beyond
the roles, every document is judged before it is run: see `app.api.graphql.limits`.
"""

from app.api.graphql.router import router

__all__ = ["router"]
