"""LangChain for Python, `langchain-openai` with `use_responses_api`."""

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool as langchain_tool
from langchain_openai import ChatOpenAI
from openai import OpenAI, RateLimitError
from pydantic import BaseModel

from common import PIXEL, equal, raises

asked = []


class Animal(BaseModel):
    name: str
    legs: int


@langchain_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    asked.append(city)
    return "18 degrees"


def chat(model, **settings):
    return ChatOpenAI(model=model, use_responses_api=True, max_retries=0, **settings)


def conversation():
    messages = [HumanMessage("My name is Ada.")]
    first = chat("talker").invoke(messages)
    equal(first.text, "I heard: My name is Ada.")
    usage = first.usage_metadata
    equal((usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]), (30, 12, 42))
    second = chat("talker").invoke([*messages, first, HumanMessage("Who am I?")])
    equal(second.text, "I heard: My name is Ada. / Who am I?")


def kept_conversation():
    talker = chat("talker", use_previous_response_id=True)
    messages = [HumanMessage("My name is Bob.")]
    first = talker.invoke(messages)
    second = talker.invoke([*messages, first, HumanMessage("Who am I?")])
    equal(second.text, "I heard: My name is Bob. / Who am I?")
    # The history was Holt's, not the client's: it does not come twice.
    third = talker.invoke("And now?", previous_response_id=second.response_metadata["id"])
    equal(third.text, "I heard: My name is Bob. / Who am I? / And now?")


def streamed(model, messages):
    """The pieces of the text and the message that they add up to."""
    pieces, whole = [], None
    for chunk in model.stream(messages):
        pieces.append(chunk.text)
        whole = chunk if whole is None else whole + chunk
    return pieces, whole


def tool():
    caller = chat("caller").bind_tools([get_weather])
    messages = [HumanMessage("Weather in Paris?")]
    _, call = streamed(caller, messages)
    messages += [call, *(get_weather.invoke(wanted) for wanted in call.tool_calls)]
    equal(asked, ["Paris"])
    pieces, answer = streamed(caller, messages)
    equal(answer.text, "The tool said: 18 degrees")
    assert len([piece for piece in pieces if piece]) > 1
    equal("".join(pieces), answer.text)
    equal(answer.usage_metadata["total_tokens"], 42)


def background():
    _, whole = streamed(chat("talker", extra_body={"background": True}), "Take your time.")
    equal(whole.text, "I heard: Take your time.")
    kept = OpenAI().responses.retrieve(whole.response_metadata["id"])
    equal((kept.background, kept.output_text), (True, whole.text))


def image():
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    equal(chat("seer").invoke([HumanMessage(parts)]).text, "I heard: What is this?")


def structured():
    writer = chat("writer").with_structured_output(Animal, method="json_schema")
    equal(writer.invoke("An animal."), Animal(name="otter", legs=4))


def errors():
    raises(RateLimitError, lambda: chat("busy").invoke("Now!"))
    raises(ValueError, lambda: chat("dying").invoke("Say it."))
    raises(ValueError, lambda: streamed(chat("dying"), "Say it."))


conversation()
kept_conversation()
tool()
background()
image()
structured()
errors()
