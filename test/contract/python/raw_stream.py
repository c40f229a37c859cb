"""create(stream=True), left at an event, goes on with retrieve(stream=True, starting_after=cursor)."""

from common import check_history, client, request, text_of

for leave_at in (0, 2, 3, 7, 20):
    seen = []
    with client.responses.create(**request(reasoning_tokens=5), stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.sequence_number == leave_at:
                break
    id = seen[0].response.id

    rest = list(client.responses.retrieve(id, stream=True, starting_after=leave_at))
    events = seen + rest
    check_history(events)
    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]

    final = client.responses.retrieve(id)
    assert final.status == "completed"
    assert events[-1].response == final
    assert text_of(events) == final.output_text != ""

    assert list(client.responses.retrieve(id, stream=True)) == events
    last = events[-1].sequence_number
    assert list(client.responses.retrieve(id, stream=True, starting_after=last - 1)) == events[-1:]
    assert list(client.responses.retrieve(id, stream=True, starting_after=last)) == []
    assert list(client.responses.retrieve(id, stream=True, starting_after=last + 100)) == []
