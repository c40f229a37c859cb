"""What the programs share: a client that does not try again, and requests to the demonstration model."""

from openai import AsyncOpenAI, OpenAI

client = OpenAI(max_retries=0)
async_client = AsyncOpenAI(max_retries=0)

TERMINAL = {"response.completed", "response.failed", "response.incomplete"}
TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "Looks something up.",
    "parameters": {
        "type": "object",
        "properties": {"about": {"type": "string"}},
        "required": ["about"],
        "additionalProperties": False,
    },
    "strict": True,
}


def request(background=True, **scripted):
    """The arguments of a create; `scripted` steers the demonstration model."""
    script = {"tokens": 30, "first_token_ms": 0, "interval_ms": 1, **scripted}
    metadata = {f"scripted.{key}": str(value) for key, value in script.items()}
    return {"model": "otter", "input": "Tell me about otters.", "background": background, "metadata": metadata}


def check_history(events):
    """Dense numbers from 0, one terminal event, last."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events if event.type in TERMINAL] == [events[-1].type]


def text_of(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def raises(error, call):
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"expected {error.__name__}")
