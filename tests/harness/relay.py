"""The network between two daemons, as a TCP relay whose failures a test orders; with several backends also their load balancer.

    relay = Relay([("127.0.0.1", 8080)])      # relay.address, relay.url
    relay.set("silent") ... relay.set("open")

All relays of a process share one thread. What is held back while silent goes out when the relay opens, as TCP would resend it.
"""
import asyncio
import itertools
import socket
import struct
import threading

from .processes import HOST

CONNECT_TIMEOUT_S = 1.0
PIECE_BYTES = 65536
SLOW_PIECE_BYTES = 512
SLOW_PAUSE_S = 0.02
GARBAGE = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n{\"id\":\"jq\",\"clusters\":{\"a\":{\"",
           b"\x00\xff\xfe garbage \r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n[]",
           b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
           b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n")
MODES = {
    "open": "everything passes",
    "refuse": "connections are reset at once, also those that stand",
    "silent": "nothing passes in either direction, connections stand",
    "deaf": "requests pass, answers do not",
    "slow": "answers come in small pieces",
    "garbage": "each new connection gets an answer that is none",
}


class _Thread:
    """The event loop of all relays; started with the first."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="relays", daemon=True).start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)


_thread = None


def _the_thread():
    global _thread
    _thread = _thread or _Thread()
    return _thread


class Relay:
    def __init__(self, backends, port=0):
        self.backends = [(HOST, b) if isinstance(b, int) else b for b in backends]
        self.mode = "open"
        self._turn = itertools.count()
        self._garbage = itertools.cycle(GARBAGE)
        self._writers = set()
        self._run = _the_thread().run
        self._run(self._start(port))

    async def _start(self, port):
        self._up, self._down = asyncio.Event(), asyncio.Event()  # set: that direction passes
        self._up.set()
        self._down.set()
        self._server = await asyncio.start_server(self._serve, HOST, port)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    def set(self, mode):
        if mode not in MODES:
            raise ValueError(f"mode {mode!r}; known: {', '.join(MODES)}")
        self._run(self._set(mode))

    def cut(self):
        """Resets every connection that stands."""
        self._run(self._cut())

    def close(self):
        self._run(self._close())

    async def _set(self, mode):
        self.mode = mode
        for event, closed_in in ((self._up, ("silent",)), (self._down, ("silent", "deaf"))):
            event.clear() if mode in closed_in else event.set()
        if mode in ("refuse", "garbage"):
            await self._cut()

    async def _cut(self):
        for writer in list(self._writers):
            _reset(writer)

    async def _close(self):
        self._server.close()
        await self._cut()

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            await self._relay(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # either end is gone: the other one learns it below
        finally:
            self._writers.discard(writer)
            _reset(writer)

    async def _relay(self, reader, writer):
        if self.mode == "refuse":
            return
        if self.mode == "garbage":
            await reader.read(PIECE_BYTES)
            writer.write(next(self._garbage))
            await writer.drain()
            writer.close()
            return
        await self._up.wait()
        far_reader, far_writer = await self._connect()
        self._writers.add(far_writer)
        pumps = [asyncio.ensure_future(self._pump(reader, far_writer, self._up)),
                 asyncio.ensure_future(self._pump(far_reader, writer, self._down, is_answer=True))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.discard(far_writer)
            far_writer.close()

    async def _connect(self):
        """The next backend that takes the connection."""
        first = next(self._turn)
        for i in range(len(self.backends)):
            host, port = self.backends[(first + i) % len(self.backends)]
            try:
                return await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_TIMEOUT_S)
            except (OSError, asyncio.TimeoutError):
                continue
        raise ConnectionRefusedError

    async def _pump(self, reader, writer, passes, is_answer=False):
        while data := await reader.read(PIECE_BYTES):
            await passes.wait()
            if is_answer and self.mode == "slow":
                await self._dribble(writer, data)
            else:
                writer.write(data)
                await writer.drain()

    async def _dribble(self, writer, data):
        for at in range(0, len(data), SLOW_PIECE_BYTES):
            writer.write(data[at:at + SLOW_PIECE_BYTES])
            await writer.drain()
            if self.mode == "slow":
                await asyncio.sleep(SLOW_PAUSE_S)


def _reset(writer):
    """Closes with a reset unless the peer was served to the end."""
    s = writer.get_extra_info("socket")
    if s is not None and not writer.is_closing():
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    writer.close()
