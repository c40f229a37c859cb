"""A synchronous response: output_text at once, found afterwards if it was stored, never cancelled, never streamed."""

import openai
from common import client, raises, request

response = client.responses.create(**request(background=False))
assert response.status == "completed" and response.output_text
assert client.responses.retrieve(response.id) == response
assert client.responses.retrieve(response.id).output_text == response.output_text

refused = raises(openai.BadRequestError, lambda: client.responses.cancel(response.id))
assert refused.body["message"] == "Cannot cancel a synchronous response."
refused = raises(openai.BadRequestError, lambda: client.responses.retrieve(response.id, stream=True))
assert refused.param == "stream" and "background=true" in refused.body["message"]

forgotten = client.responses.create(**request(background=False), store=False)
assert forgotten.output_text == response.output_text
raises(openai.NotFoundError, lambda: client.responses.retrieve(forgotten.id))

streamed = client.responses.create(**request(background=False), stream=True)
types = [event.type for event in streamed]
assert types[:2] == ["response.created", "response.in_progress"] and types[-1] == "response.completed"
