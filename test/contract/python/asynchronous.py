"""The asynchronous client: polled, streamed, resumed, by its helper and cancelled, all at the same time."""

import asyncio

from common import async_client, check_history, request, text_of


async def poll():
    response = await async_client.responses.create(**request())
    assert response.status == "queued" and response.output == []
    while response.status in {"queued", "in_progress"}:
        await asyncio.sleep(0.02)
        response = await async_client.responses.retrieve(response.id)
    assert response.status == "completed" and response.output_text


async def resume():
    events = []
    async with await async_client.responses.create(**request(), stream=True) as stream:
        async for event in stream:
            events.append(event)
            if event.sequence_number == 8:
                break
    id = events[0].response.id
    async for event in await async_client.responses.retrieve(id, stream=True, starting_after=8):
        events.append(event)
    check_history(events)
    assert (await async_client.responses.retrieve(id)).output_text == text_of(events)


async def helper():
    async with async_client.responses.stream(**request(reasoning_tokens=3)) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    check_history(events)
    async with async_client.responses.stream(response_id=final.id) as stream:
        assert (await stream.get_final_response()).output_text == final.output_text == text_of(events)


async def cancel():
    stream = await async_client.responses.create(**request(tokens=100_000), stream=True)
    events = []
    async for event in stream:
        events.append(event)
        if event.sequence_number == 9:
            cancelled = await async_client.responses.cancel(events[0].response.id)
            assert cancelled.status == "cancelled"
    check_history(events)
    assert events[-1].response == cancelled


async def main():
    await asyncio.gather(poll(), resume(), helper(), cancel(), *(poll() for _ in range(8)))
    await async_client.close()


asyncio.run(main())
