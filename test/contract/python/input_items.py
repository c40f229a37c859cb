"""input_items.list() turns its pages by itself, in both orders."""

import openai
from common import client, raises, request

COUNT = 45
texts = [f"message {number}" for number in range(COUNT)]
messages = [{"role": "user", "content": text} for text in texts]
response = client.responses.create(**{**request(tokens=1), "input": messages})


def listed(**query):
    items = list(client.responses.input_items.list(response.id, **query))
    assert len({item.id for item in items}) == len(items)
    assert all(item.type == "message" and item.role == "user" and item.status == "completed" for item in items)
    return [item.content[0].text for item in items]


assert listed(order="asc") == texts
assert listed(order="desc") == texts[::-1]
assert listed() == texts[::-1]
for limit in (1, 20, 45, 100):
    assert listed(order="asc", limit=limit) == texts, limit

page = client.responses.input_items.list(response.id, order="asc", limit=20)
assert len(page.data) == 20 and page.has_more and page.has_next_page()
rest = client.responses.input_items.list(response.id, order="asc", after=page.data[-1].id, limit=100)
assert [item.content[0].text for item in rest.data] == texts[20:] and not rest.has_more

refused = raises(openai.BadRequestError, lambda: client.responses.input_items.list(response.id, limit=101))
assert refused.param == "limit" and refused.code == "integer_above_max_value"
raises(openai.NotFoundError, lambda: client.responses.input_items.list("resp_123"))
