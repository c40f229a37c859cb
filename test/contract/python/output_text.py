"""A56: the output_text of a background response, retrieved after its end."""

import time

from common import client, request

response = client.responses.create(**request())
while response.status in {"queued", "in_progress"}:
    time.sleep(0.02)
    response = client.responses.retrieve(response.id)
assert response.status == "completed"
print(client.responses.retrieve(response.id).output_text)
