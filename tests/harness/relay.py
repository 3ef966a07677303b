"""The network between two daemons, as a TCP relay whose failures a test orders; with several backends also their load balancer.

    relay = Relay([("127.0.0.1", 8080)])      # relay.address, relay.url
    relay.set("silent") ... relay.set("open")
    relay.set("delay", amount=50)              # ms, each direction
    relay.set("throttle", amount=100_000)      # bytes a second, of answers (a master answers its replica with the data)
    relay.set("silent", of=lambda name: name.startswith("meta-"))    # some callers only; needs who=

who(near, far) names the process that has opened a connection from address to address; asked when a rule wants to know, on the relays' thread.
All relays of a process share one thread. What is held back while silent goes out when the relay opens, as TCP would resend it.
A connect is always accepted (loopback has no lost SYN): who must see a connect time out gets it by the silence after it.
"""
import asyncio
import itertools
import socket
import struct
import threading

from .processes import HOST

CONNECT_TIMEOUT_S = 1.0
WHO_TRIES, WHO_PAUSE_S = 3, 0.01
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
    "mute": "answers pass, requests do not",
    "delay": "everything comes 'amount' ms late",
    "throttle": "answers come at 'amount' bytes a second",
    "garbage": "each new connection gets an answer that is none",
}
NO_REQUESTS, NO_ANSWERS = ("silent", "mute"), ("silent", "deaf")
THROTTLE_PIECE_S = 0.02


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


class _Caller:
    """Who has opened a connection; its name is asked for when a rule wants to know."""

    def __init__(self, near, far):
        self.near, self.far, self.name = near, far, None


class _Rule:
    def __init__(self, mode, amount=0, of=None):
        if mode not in MODES:
            raise ValueError(f"mode {mode!r}; known: {', '.join(MODES)}")
        self.mode, self.amount, self._of = mode, amount, of

    @property
    def is_for_some(self):
        return self._of is not None

    def is_for(self, caller):
        return self._of is None or self._of(caller.name or "")


class Relay:
    def __init__(self, backends, port=0, who=None):
        self.backends = [(HOST, b) if isinstance(b, int) else b for b in backends]
        self._rules = [_Rule("open")]  # the last one that is for the caller counts
        self._who = who
        self._turn = itertools.count()
        self._garbage = itertools.cycle(GARBAGE)
        self._writers = {}  # -> _Caller
        self._run = _the_thread().run
        self._run(self._start(port))

    async def _start(self, port):
        self._changed = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, HOST, port)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    @property
    def mode(self):
        """Of those without a rule of their own."""
        return self._rules[0].mode

    def set(self, mode, amount=0, of=None):
        """Without 'of' for everybody, and rules for some callers end; with it beside what holds for the others."""
        self._run(self._set(_Rule(mode, amount, of), of is not None))

    def cut(self, of=None):
        """Resets every connection that stands (of some callers)."""
        self._run(self._cut(_Rule("open", of=of)))

    def close(self):
        self._run(self._close())

    def _rule(self, source):
        return next(r for r in reversed(self._rules) if r.is_for(source))

    async def _set(self, rule, is_one_more):
        await self._name_callers(rule)
        self._rules = [*self._rules, rule] if is_one_more else [rule]
        self._changed.set()
        self._changed = asyncio.Event()
        if rule.mode in ("refuse", "garbage"):
            await self._cut(rule)

    async def _cut(self, rule):
        await self._name_callers(rule)
        for writer, source in list(self._writers.items()):
            if rule.is_for(source):
                _reset(writer)

    async def _close(self):
        self._server.close()
        await self._cut(_Rule("open"))

    async def _serve(self, reader, writer):
        caller = _Caller(writer.get_extra_info("peername"), writer.get_extra_info("sockname"))
        self._writers[writer] = caller
        try:
            if any(r.is_for_some for r in self._rules):
                await self._name(caller)
            await self._relay(reader, writer, caller)
        except (OSError, asyncio.IncompleteReadError):
            pass  # either end is gone: the other one learns it below
        finally:
            self._writers.pop(writer, None)
            _reset(writer)

    async def _name_callers(self, rule):
        for caller in set(self._writers.values()) if rule.is_for_some else ():
            await self._name(caller)

    async def _name(self, caller):
        """It stays without a name when it is closed again already."""
        for _ in range(WHO_TRIES if self._who else 0):
            if caller.name:
                return
            caller.name = self._who(caller.near, caller.far)
            if not caller.name:
                await asyncio.sleep(WHO_PAUSE_S)

    async def _relay(self, reader, writer, source):
        mode = self._rule(source).mode
        if mode == "refuse":
            return
        if mode == "garbage":
            await reader.read(PIECE_BYTES)
            writer.write(next(self._garbage))
            await writer.drain()
            writer.close()
            return
        await self._until_passes(source, NO_REQUESTS)
        far_reader, far_writer = await self._connect()
        self._writers[far_writer] = source
        pumps = [asyncio.ensure_future(self._pump(reader, far_writer, source)),
                 asyncio.ensure_future(self._pump(far_reader, writer, source, is_answer=True))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.pop(far_writer, None)
            far_writer.close()

    async def _until_passes(self, source, closed_in):
        while self._rule(source).mode in closed_in:
            await self._changed.wait()

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

    async def _pump(self, reader, writer, source, is_answer=False):
        while data := await reader.read(PIECE_BYTES):
            await self._until_passes(source, NO_ANSWERS if is_answer else NO_REQUESTS)
            mode = self._rule(source).mode
            if mode == "delay":
                await asyncio.sleep(self._rule(source).amount / 1000)
            if is_answer and mode in ("slow", "throttle"):
                await self._dribble(writer, data, source)
            else:
                writer.write(data)
                await writer.drain()

    async def _dribble(self, writer, data, source):
        at = 0
        while at < len(data):
            rule = self._rule(source)
            if rule.mode in NO_ANSWERS:
                await self._until_passes(source, NO_ANSWERS)
                continue
            piece, pause = len(data), 0.0
            if rule.mode == "slow":
                piece, pause = SLOW_PIECE_BYTES, SLOW_PAUSE_S
            elif rule.mode == "throttle":
                piece, pause = max(1, int(rule.amount * THROTTLE_PIECE_S)), THROTTLE_PIECE_S
            writer.write(data[at:at + piece])
            await writer.drain()
            at += piece
            if pause:
                await asyncio.sleep(pause)


def _reset(writer):
    """Closes with a reset unless the peer was served to the end."""
    s = writer.get_extra_info("socket")
    if s is not None and not writer.is_closing():
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    writer.close()
