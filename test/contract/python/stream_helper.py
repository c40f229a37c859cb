"""client.responses.stream() takes every kind of stream that Holt sends, by creation and by response_id."""

from common import TOOL, check_history, client, raises, request, text_of

TERMINAL_OF = {
    "completed": "response.completed",
    "failed": "response.failed",
    "incomplete": "response.incomplete",
    "cancelled": "response.failed",
}


def read_to_end(stream, status):
    """The helper fires the wire's events; get_final_response() is for completed ends only, as the SDK has it."""
    events = list(stream)
    check_history(events)
    assert events[-1].type == TERMINAL_OF[status], events[-1].type
    assert events[-1].response.status == status
    if status == "completed":
        final = stream.get_final_response()
        assert final.id == events[0].response.id
        assert final.output_text == text_of(events)
    else:
        raises(RuntimeError, stream.get_final_response)
    return events


def both_ways(status, **arguments):
    with client.responses.stream(**arguments) as stream:
        created = read_to_end(stream, status)
    id = created[0].response.id
    # The tools are not sent: the helper parses the arguments of a call by them.
    with client.responses.stream(response_id=id, tools=arguments.get("tools", [])) as stream:
        resumed = read_to_end(stream, status)
    assert [event.sequence_number for event in resumed] == [event.sequence_number for event in created]
    assert [event.type for event in resumed] == [event.type for event in created]
    assert resumed[-1].response.to_dict() == created[-1].response.to_dict()
    final = client.responses.retrieve(id)
    assert final.status == status
    return final


text = both_ways("completed", **request())
assert text.output_text

reasoning = both_ways("completed", **request(reasoning_tokens=10))
assert [item.type for item in reasoning.output] == ["reasoning", "message"]

call = both_ways("completed", **request(tool_call="look_up"), tools=[TOOL])
assert [item.type for item in call.output] == ["function_call"]

failed = both_ways("failed", **request(fail_after=5))
assert failed.error.code == "server_error"
never_began = both_ways("failed", **request(fail_after=0))
assert never_began.output == []

incomplete = both_ways("incomplete", **request(tokens=100), max_output_tokens=16)
assert incomplete.incomplete_details.reason == "max_output_tokens"
assert incomplete.output[-1].status == "incomplete"

# Cancelled while it is read.
with client.responses.stream(**request(tokens=100_000, interval_ms=5)) as stream:
    events = iter(stream)
    id = next(events).response.id
    while next(events).type != "response.output_text.delta":
        pass
    assert client.responses.cancel(id).status == "cancelled"
    last = list(events)[-1]
    assert last.type == "response.failed" and last.response.status == "cancelled" and last.response.error is None
    raises(RuntimeError, stream.get_final_response)
with client.responses.stream(response_id=id) as stream:
    read_to_end(stream, "cancelled")

# In the foreground.
with client.responses.stream(**request(background=False)) as stream:
    read_to_end(stream, "completed")

# While it runs, from a cursor: the helper reads all and shows what comes after.
running = client.responses.create(**request(tokens=100), stream=True)
id = next(iter(running)).response.id
running.close()
with client.responses.stream(response_id=id, starting_after=10) as stream:
    shown = list(stream)
    assert shown[0].sequence_number == 11
    assert stream.get_final_response().output_text == client.responses.retrieve(id).output_text
