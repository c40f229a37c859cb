"""Creates whose first answers the network loses, sent again by the client itself: with a key each runs once."""

import os

from common import check_history, raises, text_of
from openai import BadRequestError, OpenAI

client = OpenAI(max_retries=2)
streaming = OpenAI(base_url=os.environ["STREAMING_BASE_URL"], max_retries=2)
MODEL = os.environ["MODEL"]


def request(key, text="Hello"):
    return {"model": MODEL, "input": text, "background": True, "extra_headers": {"Idempotency-Key": key}}


raw = client.responses.with_raw_response.create(**request("python-1"))
assert raw.headers["idempotent-replayed"] == "true" and raw.retries_taken == 2
response = raw.parse()
while response.status in {"queued", "in_progress"}:
    response = client.responses.retrieve(response.id)
assert response.status == "completed" and response.output_text == "Hello from the upstream."

events = list(streaming.responses.create(**request("python-2"), stream=True))
check_history(events)
assert text_of(events) == "Hello from the upstream."

# It is not sent three times.
error = raises(BadRequestError, lambda: client.responses.create(**request("python-1", "Hello!")))
assert (error.code, error.param) == ("idempotency_key_reused", "Idempotency-Key")
assert error.response.headers["x-should-retry"] == "false"
