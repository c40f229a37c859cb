"""A webhook that arrived is unwrapped; a changed or an old one, or one with another secret, is refused."""

import json
import os
import time

import openai
from common import client, raises

hit = json.loads(os.environ["WEBHOOK"])
event = client.webhooks.unwrap(hit["body"], hit["headers"])
assert event.type == "response.completed" and event.object == "event", event
assert event.data.id == os.environ["RESPONSE_ID"]
assert event.id == hit["headers"]["webhook-id"]


def refused(body=hit["body"], headers=None, **arguments):
    raises(
        openai.InvalidWebhookSignatureError,
        lambda: client.webhooks.unwrap(body, {**hit["headers"], **(headers or {})}, **arguments),
    )


refused(body=hit["body"].replace("resp_", "resp_f"))
refused(headers={"webhook-timestamp": str(int(time.time()) - 301)})
refused(headers={"webhook-id": "evt_1"})
refused(secret="whsec_" + "A" * 32)
