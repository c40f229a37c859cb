"""`openai` for Python as it comes from its package: raw calls, the stream() helper, the asynchronous client."""

import asyncio

from openai import AsyncOpenAI, BadRequestError, OpenAI, RateLimitError
from pydantic import BaseModel

from common import PIXEL, equal, raises

client = OpenAI(max_retries=0)


class Animal(BaseModel):
    name: str
    legs: int


WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def conversation():
    first = client.responses.create(model="talker", input="My name is Ada.")
    equal(first.output_text, "I heard: My name is Ada.")
    equal((first.usage.input_tokens, first.usage.output_tokens, first.usage.total_tokens), (30, 12, 42))
    asked = [{"role": "user", "content": "My name is Ada."}, *first.output, {"role": "user", "content": "Who am I?"}]
    second = client.responses.create(model="talker", input=asked)
    equal(second.output_text, "I heard: My name is Ada. / Who am I?")


def kept_conversation():
    first = client.responses.create(model="talker", input="My name is Bob.")
    second = client.responses.create(model="talker", input="Who am I?", previous_response_id=first.id)
    equal(second.output_text, "I heard: My name is Bob. / Who am I?")
    conversation = client.conversations.create()
    client.responses.create(model="talker", input="My name is Eve.", conversation=conversation.id)
    answer = client.responses.create(model="talker", input="Who am I?", conversation=conversation.id)
    equal(answer.output_text, "I heard: My name is Eve. / Who am I?")
    items = client.conversations.items.list(conversation.id, order="asc", limit=3)
    equal([item.role for item in items], ["user", "assistant", "user", "assistant"])


def counted_and_compacted():
    first = client.responses.create(model="talker", input="My name is Kim.")
    assert client.responses.input_tokens.count(model="talker", input="Who am I?").input_tokens > 0
    shorter = client.responses.compact(model="talker", previous_response_id=first.id)
    equal(shorter.output[-1].type, "compaction")
    asked = [*shorter.output, {"role": "user", "content": "Who am I?"}]
    answer = client.responses.create(model="talker", input=asked)
    assert answer.output_text.startswith("I heard: My name is Kim. / "), answer.output_text


def tool():
    asked = [{"role": "user", "content": "Weather in Paris?"}]
    with client.responses.stream(model="caller", input=asked, tools=[WEATHER]) as stream:
        pieces = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        [thoughts, call] = stream.get_final_response().output
    equal((call.type, call.name, call.parsed_arguments), ("function_call", "get_weather", {"city": "Paris"}))
    equal("".join(pieces), call.arguments)
    equal(thoughts.type, "reasoning")
    asked += [
        thoughts,
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"},
    ]
    with client.responses.stream(model="caller", input=asked, tools=[WEATHER]) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    equal(final.output_text, "The tool said: 18 degrees")
    equal(text, final.output_text)


def resume():
    text, cursor = "", -1
    with client.responses.create(model="waiter", input="Slowly!", background=True, stream=True) as stream:
        for event in stream:
            cursor = event.sequence_number
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_text.delta":
                text += event.delta
                break
    equal(client.responses.retrieve(response_id).status, "in_progress")
    rest = client.responses.retrieve(response_id, stream=True, starting_after=cursor)
    client.responses.create(model="opener", input="Let it go on.")
    for event in rest:
        cursor += 1
        equal(event.sequence_number, cursor)
        if event.type == "response.output_text.delta":
            text += event.delta
    equal((event.type, event.response.status), ("response.completed", "completed"))
    equal(text, "I heard: Slowly!")
    equal(client.responses.retrieve(response_id).output_text, text)
    with client.responses.stream(response_id=response_id) as stream:
        equal(stream.get_final_response().output_text, text)


def image():
    parts = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": PIXEL}]
    seen = client.responses.create(model="seer", input=[{"role": "user", "content": parts}])
    equal(seen.output_text, "I heard: What is this?")


def structured():
    made = client.responses.parse(model="writer", input="An animal.", text_format=Animal)
    equal(made.output_parsed, Animal(name="otter", legs=4))


def errors():
    raises(RateLimitError, lambda: client.responses.create(model="busy", input="Now!"))
    broken = raises(BadRequestError, lambda: client.responses.create(model="talker", input="Hm.", temperature=3))
    equal(broken.param, "temperature")
    failed = client.responses.create(model="dying", input="Say it.")
    equal((failed.status, failed.error.code, failed.output_text), ("failed", "server_error", "I was about to"))


async def asynchronous():
    async with AsyncOpenAI(max_retries=0) as client:
        background = await client.responses.create(model="talker", input="Walk away.", background=True)
        while background.status in {"queued", "in_progress"}:
            background = await client.responses.retrieve(background.id)
        equal(background.output_text, "I heard: Walk away.")
        async with client.responses.stream(model="talker", input="Stream.") as stream:
            text = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
            equal((await stream.get_final_response()).output_text, text)
        equal(text, "I heard: Stream.")


conversation()
kept_conversation()
counted_and_compacted()
tool()
resume()
image()
structured()
errors()
asyncio.run(asynchronous())
