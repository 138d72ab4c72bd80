"""Trio, as its documentation has it: a task that sends what it receives. It sets TCP_NODELAY by itself."""

import functools

import trio
from control import announce, service


async def echo(stream):
    async for data in stream:
        await stream.send_all(data)


async def pieces(stream):
    async for data in stream:
        for start in range(0, len(data), 64):
            await stream.send_all(data[start : start + 64])


async def serve(stream):
    try:
        await {"echo": echo, "pieces": pieces}[service](stream)
    except trio.BrokenResourceError:
        pass


async def main():
    listen = functools.partial(trio.serve_tcp, serve, 0, host="127.0.0.1", backlog=4096)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(listen)
        announce(listeners[0].socket.getsockname()[1])


trio.run(main)
