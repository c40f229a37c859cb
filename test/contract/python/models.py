"""models.list() and models.retrieve()."""

import openai
from common import client, raises

names = [model.id for model in client.models.list()]
assert "otter" in names
assert client.models.retrieve("otter").id == "otter"
raises(openai.NotFoundError, lambda: client.models.retrieve("no such model"))
