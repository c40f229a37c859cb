"""Refusals arrive as the SDK's exceptions, with the whole envelope."""

import openai
from common import client, raises, request


def refused(**arguments):
    error = raises(openai.BadRequestError, lambda: client.responses.create(**{**request(), **arguments}))
    assert error.status_code == 400 and error.type == "invalid_request_error"
    assert set(error.body) == {"message", "type", "param", "code"}
    assert error.request_id.startswith("req_")
    return error


for stream in (False, True):
    error = refused(store=False, stream=stream)
    assert (error.param, error.code) == ("background", "unsupported_parameter"), error.body

assert (refused(max_output_tokens=15).param, refused(max_output_tokens=15).code) == (
    "max_output_tokens",
    "integer_below_min_value",
)
assert refused(previous_response_id="resp_123").param == "previous_response_id"
assert refused(extra_body={"stop": ["x"]}).code == "unknown_parameter"
assert refused(metadata={f"key {number}": "x" for number in range(17)}).param == "metadata"

plain = client.responses.create(**request())
error = raises(openai.BadRequestError, lambda: client.responses.retrieve(plain.id, stream=True))
assert (error.param, error.code) == ("stream", "invalid_request_error") and "stream=true" in error.body["message"]
error = raises(
    openai.BadRequestError, lambda: client.responses.retrieve(plain.id, stream=True, extra_query={"starting_after": "abc"})
)
assert error.param == "starting_after"
error = raises(openai.NotFoundError, lambda: client.responses.retrieve("resp_123"))
assert error.body["message"] == "Response with id 'resp_123' not found."

# The bound of a decimal field, passed by a whole number.
error = refused(temperature=3)
assert (error.param, error.code) == ("temperature", "decimal_above_max_value"), error.body
assert error.body["message"].startswith("Invalid 'temperature': decimal above maximum value.")
