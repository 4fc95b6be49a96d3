"""Operations over HTTP: what became of a write."""

from kith.api import response_schemas as shapes
from kith.api.calls import ReadCall
from kith.api.responses import Answer, make_operation_answer
from kith.api.routing import route
from kith.engine.accept import operations


@route("GET", "/crm/operations/{operation_id}", tag="Operations", kind="operation", data=shapes.Operation)
async def get_operation(call: ReadCall, operation_id: str) -> Answer:
    """Get an operation

    Every write is one. Operations are kept for 7 days. What is about all records (a property's values are converted, a
    dynamic list is evaluated) may take long: until it has ended, `progress` tells how many records are done, of how
    many, about once a second.
    """
    return make_operation_answer(await operations.get_operation(call.engine, call.workspace, operation_id))
