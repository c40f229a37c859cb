"""A54: stream() broken off at event 10 is taken up by its id and its cursor, in a `with`, to the same final response."""

from common import client, request, text_of

cursor = None
seen = []
with client.responses.stream(**request(tokens=60, interval_ms=2)) as stream:
    for event in stream:
        seen.append(event)
        cursor = event.sequence_number
        if cursor == 10:
            break
id = seen[0].response.id

with client.responses.stream(response_id=id, starting_after=cursor) as stream:
    rest = list(stream)
    final = stream.get_final_response()
assert [event.sequence_number for event in rest] == list(range(11, 11 + len(rest)))
assert rest[-1].type == "response.completed"
assert final.status == "completed" and final.id == id
assert final.output_text == text_of(seen + rest) == client.responses.retrieve(id).output_text
assert final.output_text
