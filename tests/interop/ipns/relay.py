"""A TCP relay that holds back what passes through it, either way, for half of a round trip: what a distance costs without a network in between.

The connection itself is there at once, so the figures of a run lack the round trip that a real TCP connection begins with."""

import asyncio
import collections
import contextlib
import re
import threading


class Relay(contextlib.AbstractContextManager):
    """Addresses in front of others, on a thread and a loop of its own. behind(addr) is the address to dial instead."""

    def __init__(self, rtt_ms):
        self.half = rtt_ms / 2000
        self.loop = asyncio.new_event_loop()
        self.servers, self.known, self.tasks = [], {}, set()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def behind(self, addr):
        if self.half == 0:
            return addr
        if addr not in self.known:
            host, port = re.match(r"/ip4/([0-9.]+)/tcp/([0-9]+)", addr).groups()
            here = asyncio.run_coroutine_threadsafe(self.listen(host, int(port)), self.loop).result(10)
            self.known[addr] = re.sub(r"/tcp/[0-9]+", f"/tcp/{here}", addr, count=1)
        return self.known[addr]

    async def listen(self, host, port):
        server = await asyncio.start_server(lambda r, w: self.both(r, w, host, port), "127.0.0.1", 0)
        self.servers.append(server)
        return server.sockets[0].getsockname()[1]

    async def both(self, reader, writer, host, port):
        try:
            there = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        ways = [asyncio.ensure_future(self.carry(reader, there[1])), asyncio.ensure_future(self.carry(there[0], writer))]
        self.tasks.update(ways)
        try:
            await asyncio.gather(*ways)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for way in ways:
                way.cancel()
            self.tasks.difference_update(ways)
            for w in (writer, there[1]):
                w.transport.abort()

    async def carry(self, reader, writer):
        """What has come is sent when its time is up; reading goes on meanwhile."""
        waiting, more = collections.deque(), asyncio.Event()

        async def send():
            while True:
                while not waiting:
                    more.clear()
                    await more.wait()
                due, data = waiting.popleft()
                await asyncio.sleep(due - self.loop.time())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        sender = asyncio.ensure_future(send())
        try:
            while True:
                data = await reader.read(1 << 16)
                waiting.append((self.loop.time() + self.half, data))
                more.set()
                if not data:
                    break
            await sender
        finally:
            sender.cancel()

    def __exit__(self, *_):
        async def end():
            for server in self.servers:
                server.close()
            for task in list(self.tasks):
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
