"""OpenAI Agents SDK for Python over its Responses model."""

import asyncio

from agents import (
    Agent,
    ModelBehaviorError,
    ModelSettings,
    OpenAIConversationsSession,
    OpenAIProvider,
    OpenAIResponsesCompactionSession,
    RunConfig,
    Runner,
    SQLiteSession,
    ToolOutputImage,
    function_tool,
)
from openai import AsyncOpenAI, OpenAI, RateLimitError
from pydantic import BaseModel

from common import PIXEL, equal

asked = []


class Animal(BaseModel):
    name: str
    legs: int


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    asked.append(city)
    return "18 degrees"


@function_tool(name_override="get_weather")
def camera(city: str) -> ToolOutputImage:
    """Looks out of the window."""
    return ToolOutputImage(image_url=PIXEL)


def config(client):
    return RunConfig(model_provider=OpenAIProvider(openai_client=client, use_responses=True), tracing_disabled=True)


async def conversation(run):
    agent = Agent(name="Talker", instructions="Be brief.", model="talker")
    session = SQLiteSession("conversation")
    first = await Runner.run(agent, "My name is Ada.", session=session, run_config=run)
    equal(first.final_output, "I heard: My name is Ada.")
    usage = first.context_wrapper.usage
    equal((usage.input_tokens, usage.output_tokens, usage.total_tokens), (30, 12, 42))
    second = await Runner.run(agent, "Who am I?", session=session, run_config=run)
    equal(second.final_output, "I heard: My name is Ada. / Who am I?")


async def kept_conversation(run):
    agent = Agent(name="Talker", model="talker")
    first = await Runner.run(agent, "My name is Bob.", run_config=run)
    chained = {"previous_response_id": first.last_response_id, "run_config": run}
    second = await Runner.run(agent, "Who am I?", **chained)
    equal(second.final_output, "I heard: My name is Bob. / Who am I?")
    async with AsyncOpenAI(max_retries=0) as client:
        session = OpenAIConversationsSession(openai_client=client)
        await Runner.run(agent, "My name is Eve.", session=session, run_config=run)
        answer = await Runner.run(agent, "Who am I?", session=session, run_config=run)
        equal(answer.final_output, "I heard: My name is Eve. / Who am I?")
        equal(len(await session.get_items()), 4)
        await session.clear_session()


async def compacted(run):
    agent = Agent(name="Talker", model="gpt-4.1")
    async with AsyncOpenAI(max_retries=0) as client:
        session = OpenAIResponsesCompactionSession(
            session_id="compacted",
            underlying_session=SQLiteSession("compacted"),
            client=client,
            model="gpt-4.1",
            should_trigger_compaction=lambda _: True,
        )
        await Runner.run(agent, "My name is Ada.", session=session, run_config=run)
        equal([item["type"] for item in await session.get_items()], ["message", "compaction"])
        answer = await Runner.run(agent, "Who am I?", session=session, run_config=run)
    assert answer.final_output.startswith("I heard: My name is Ada. / "), answer.final_output
    assert answer.final_output.endswith(" / Who am I?"), answer.final_output


async def text_of(result):
    pieces = []
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            pieces.append(event.data.delta)
    return "".join(pieces)


async def tool(run):
    agent = Agent(name="Caller", model="caller", tools=[get_weather])
    result = Runner.run_streamed(agent, "Weather in Paris?", run_config=run)
    text = await text_of(result)
    equal(asked, ["Paris"])
    equal(result.final_output, "The tool said: 18 degrees")
    equal(text, result.final_output)
    equal(result.context_wrapper.usage.total_tokens, 84)


async def background(run):
    settings = ModelSettings(extra_body={"background": True})
    agent = Agent(name="Background", model="talker", model_settings=settings)
    result = Runner.run_streamed(agent, "Take your time.", run_config=run)
    equal(await text_of(result), "I heard: Take your time.")
    kept = OpenAI().responses.retrieve(result.last_response_id)
    equal((kept.background, kept.output_text), (True, result.final_output))


async def image(run):
    parts = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": PIXEL}]
    seen = await Runner.run(Agent(name="Seer", model="seer"), [{"role": "user", "content": parts}], run_config=run)
    equal(seen.final_output, "I heard: What is this?")


async def image_from_a_tool(run):
    result = await Runner.run(Agent(name="Watcher", model="watcher", tools=[camera]), "Weather?", run_config=run)
    assert result.final_output.startswith("The tool said: "), result.final_output


async def structured(run):
    made = await Runner.run(Agent(name="Writer", model="writer", output_type=Animal), "An animal.", run_config=run)
    equal(made.final_output, Animal(name="otter", legs=4))


async def raises(kind, run):
    try:
        await run
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")


async def errors(run):
    await raises(RateLimitError, Runner.run(Agent(name="Busy", model="busy"), "Now!", run_config=run))
    dying = Agent(name="Dying", model="dying")
    await raises(ModelBehaviorError, Runner.run(dying, "Say it.", run_config=run))
    await raises(ModelBehaviorError, text_of(Runner.run_streamed(dying, "Say it.", run_config=run)))


async def main():
    async with AsyncOpenAI(max_retries=0) as client:
        for part in (conversation, kept_conversation, compacted, tool, background, image, image_from_a_tool, structured, errors):
            await part(config(client))


asyncio.run(main())
