"""What a document may ask for, judged before it is validated and run.

    depth    nested fields                                   8
    aliases  in one operation, fragments wherever spread     20
    tokens   of the document                                 1,000
    cost     values of lists that may come back:             50,000
             limit of each list x fields selected of its rows

Each fragment is judged once, however often it is spread: a short document that spreads a
fragment of fragments of fragments takes no longer than a plain one. Introspection is left to
graphql-core's own rule, which bounds how deep it goes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)
from strawberry.extensions import SchemaExtension

MOST_DEPTH, MOST_ALIASES, MOST_TOKENS, MOST_COST = 8, 20, 1_000, 50_000
_MOST_DIGITS = 19
ROWS_OF_NO_LIMIT = 100
"""Of a list that has no `limit`: symbols, venues."""


class Weight(NamedTuple):
    """What a selection weighs.

    Attributes:
        depth: Most fields within one another.
        aliases: Fields that have one.
        values: Fields without fields of their own.
        cost: Values of the lists in it.
    """

    depth: int = 0
    aliases: int = 0
    values: int = 0
    cost: int = 0

    def and_(self, other: "Weight") -> "Weight":
        """Return the weight of both beside one another."""
        return Weight(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.values + other.values,
            self.cost + other.cost,
        )


class Limits(SchemaExtension):
    """The limits, as Strawberry calls them."""

    def on_operation(self) -> Iterator[None]:
        """Bound the parser."""
        self.execution_context.parse_options["max_tokens"] = MOST_TOKENS
        yield

    def on_validate(self) -> Iterator[None]:
        """Judge the document; one that is too much is not even validated."""
        context = self.execution_context
        if context.graphql_document is not None:
            schema: GraphQLSchema = context.schema._schema  # noqa: SLF001
            faults = judged(context.graphql_document, schema, context.variables or {})
            if faults:
                context.pre_execution_errors = [GraphQLError(fault) for fault in faults]
        yield


def judged(
    document: DocumentNode, schema: GraphQLSchema, variables: Mapping[str, Any]
) -> list[str]:
    """Return what of a document is too much."""
    scale = _Scale(document, schema, variables)
    faults = []
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            try:
                weight = scale.weigh(each.selection_set)
            except (_TooDeep, RecursionError):
                return [f"depth must be {MOST_DEPTH} at most, is more"]
            except _Circular as error:
                return [f"fragment {error} must not spread itself"]
            for name, found, most in (
                ("depth", weight.depth, MOST_DEPTH),
                ("aliases", weight.aliases, MOST_ALIASES),
                ("cost", weight.cost, MOST_COST),
            ):
                if found > most:
                    faults.append(f"{name} must be {most} at most, is {found}")
    return faults


class _TooDeep(Exception):
    """There are more fields within one another than anybody needs."""


class _Circular(Exception):
    """A fragment spreads itself."""


class _Scale:
    def __init__(
        self, document: DocumentNode, schema: GraphQLSchema, variables: Mapping[str, Any]
    ) -> None:
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._weighed: dict[str, Weight] = {}
        self._under_way: set[str] = set()
        self._variables = {**_defaults(document), **variables}
        self._fields = schema.query_type.fields if schema.query_type else {}

    def weigh(self, selection: SelectionSetNode | None, level: int = 0) -> Weight:
        """Return the weight of a selection."""
        total = Weight()
        for each in selection.selections if selection else ():
            if isinstance(each, FieldNode):
                total = total.and_(self._field(each, level + 1))
            elif isinstance(each, InlineFragmentNode):
                total = total.and_(self.weigh(each.selection_set, level + 1))
            elif isinstance(each, FragmentSpreadNode):
                total = total.and_(self._fragment(each.name.value))
        return total

    def _field(self, node: FieldNode, level: int) -> Weight:
        if node.name.value.startswith("__"):
            return Weight(aliases=int(node.alias is not None))
        if level > MOST_TOKENS // 10:
            raise _TooDeep
        within = self.weigh(node.selection_set, level)
        own = Weight(1 + within.depth, within.aliases + (node.alias is not None), within.values)
        if node.selection_set is None:
            return own._replace(values=1)
        return own._replace(cost=max(within.cost, self._rows(node) * within.values))

    def _fragment(self, name: str) -> Weight:
        if name in self._under_way:
            raise _Circular(name)
        if name not in self._fragments:
            return Weight()  # validation says so
        if name not in self._weighed:
            self._under_way.add(name)
            self._weighed[name] = self.weigh(self._fragments[name].selection_set)
            self._under_way.remove(name)
        return self._weighed[name]

    def _rows(self, node: FieldNode) -> int:
        """Return how many rows a field may bring."""
        field = self._fields.get(node.name.value)
        if field is None:
            return 1
        if "limit" not in field.args:
            return 1 if "series" in field.args else ROWS_OF_NO_LIMIT
        for argument in node.arguments or ():
            if argument.name.value == "limit":
                return _whole(argument.value, self._variables)
        default = field.args["limit"].default_value
        return default if isinstance(default, int) else ROWS_OF_NO_LIMIT


def _whole(value: Any, variables: Mapping[str, Any]) -> int:
    """Return a limit; what is none is refused when it is run."""
    found = variables.get(value.name.value) if isinstance(value, VariableNode) else _literal(value)
    return found if isinstance(found, int) else ROWS_OF_NO_LIMIT


def _literal(value: Any) -> int | None:
    if not isinstance(value, IntValueNode):
        return None
    # Python refuses to read very long numbers, and no limit has as many digits.
    return int(value.value[:_MOST_DIGITS])


def _defaults(document: DocumentNode) -> dict[str, int | None]:
    return {
        each.variable.name.value: _literal(each.default_value)
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode)
        for each in operation.variable_definitions or ()
    }
