"""A tool's round trip: it is called, its output goes back with the next request, the model answers."""

import json

from common import TOOL, client, request

asked = {**request(tool_call="look_up", reasoning_tokens=4), "tools": [TOOL]}
events = list(client.responses.create(**asked, stream=True))
final = events[-1].response
assert final.status == "completed" and final.output_text == ""
reasoning, call = final.output
assert (call.type, call.name, call.status) == ("function_call", "look_up", "completed")
pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
assert "".join(pieces) == call.arguments
assert json.loads(call.arguments) == {"about": "otters in space"}
assert final.tools[0].name == "look_up" and final.tools[0].strict is True

conversation = [
    {"role": "user", "content": asked["input"]},
    *(item.to_dict() for item in final.output),
    {"type": "function_call_output", "call_id": call.call_id, "output": "They float."},
]
with client.responses.stream(**{**asked, "input": conversation}) as stream:
    answer = stream.get_final_response()
assert answer.output_text and [item.type for item in answer.output] == ["reasoning", "message"]

items = list(client.responses.input_items.list(answer.id, order="asc"))
assert [item.type for item in items] == ["message", "reasoning", "function_call", "function_call_output"]
assert items[-1].output == "They float." and all(item.id for item in items)
