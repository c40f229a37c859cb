"""cancel() is idempotent and leaves what has ended alone; delete() forgets. Both come with an empty JSON body."""

import json

import openai
from common import client, raises, request

running = client.responses.create(**request(tokens=100_000))
raw = client.responses.with_raw_response.cancel(running.id)
# What the SDK really sends: a content type and no content.
assert raw.http_request.headers["content-type"] == "application/json"
assert raw.http_request.headers["content-length"] == "0"
first = raw.parse()
assert first.status == "cancelled" and first.error is None and first.usage is None and first.completed_at is None
assert all(item.status == "incomplete" for item in first.output)
again = client.responses.with_raw_response.cancel(running.id)
assert again.content == raw.content
assert client.responses.retrieve(running.id) == first

ended = client.responses.create(**request(tokens=3))
while client.responses.retrieve(ended.id).status != "completed":
    pass
final = client.responses.retrieve(ended.id)
assert client.responses.cancel(ended.id) == final

raises(openai.NotFoundError, lambda: client.responses.cancel("resp_123"))
raises(openai.NotFoundError, lambda: client.responses.delete("resp_123"))

deleted = client.responses.with_raw_response.delete(ended.id)
assert json.loads(deleted.content) == {"id": ended.id, "object": "response", "deleted": True}
unfinished = client.responses.create(**request(tokens=100_000), stream=True)
id = next(iter(unfinished)).response.id
unfinished.close()
assert client.responses.delete(id) is None

for gone in (ended.id, id):
    for verb in (
        client.responses.retrieve,
        client.responses.cancel,
        client.responses.delete,
        client.responses.input_items.list,
        lambda id: client.responses.retrieve(id, stream=True),
    ):
        error = raises(openai.NotFoundError, lambda: verb(gone))
        assert gone in error.body["message"] and error.type == "invalid_request_error"
