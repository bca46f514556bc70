"""Drives one node program over the peer control protocol (JSON lines on stdin and stdout)."""

import collections
import itertools
import json
import os
import queue
import signal
import subprocess
import threading
import time

STDERR_LINES = 60
STDERR_LINE = 500


class NodeError(Exception):
    """A request failed, timed out, or the program is gone. The text names program and request."""


class Node:
    """A node program as a child process; use as a context manager, so that none is left behind."""

    def __init__(self, name, argv, timeout=15.0, env=None):
        self.name = name
        self.argv = [str(a) for a in ([argv] if isinstance(argv, (str, os.PathLike)) else argv)]
        self.timeout = timeout
        self.peer = None
        self.credit = None
        self._ids = itertools.count(1)
        self._asked = {}  # id: None, or its reply
        self._replies = queue.Queue()
        self._events = queue.Queue()
        self._unread = []  # events that nobody waited for yet
        self._fatal = None  # text of an "error" event
        self._stderr = collections.deque(maxlen=STDERR_LINES)
        try:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=None if env is None else {**os.environ, **env},
            )
        except OSError as e:
            raise NodeError(f"{name}: cannot run {self.argv[0]}: {e.strerror}") from e
        self._threads = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for t in self._threads:
            t.start()
        try:
            self.hello = self.event("hello")
            if self.hello.get("proto") != 1:
                raise self._error("hello", f"protocol {self.hello.get('proto')!r} instead of 1")
        except BaseException:
            self.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None and self.alive():
            try:
                self.stop()
                return
            finally:
                self.kill()
        self.kill()

    # The two readers. A None in a queue says that the program has closed its stdout.

    def _read_stdout(self):
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                self._stderr.append("stdout, not JSON: " + self._text(line))
                continue
            if "re" in message:
                self._replies.put(message)
            else:
                if message.get("ev") == "error":
                    self._fatal = str(message.get("error"))
                self._events.put(message)
        self._replies.put(None)
        self._events.put(None)

    def _read_stderr(self):
        for line in self.process.stderr:
            self._stderr.append(self._text(line))

    @staticmethod
    def _text(line):
        return line[:STDERR_LINE].decode("utf-8", "replace").rstrip("\n")

    def _error(self, what, text):
        code = self.process.poll()
        lines = [f"{self.name} ({os.path.basename(self.argv[0])}), {what}: {text}"]
        if self._fatal is not None:
            lines.append(f"error event: {self._fatal}")
        if code is not None:
            lines.append(f"exit status {code}")
        if self._stderr:
            lines.append("its stderr ends:")
            lines += ["    " + line for line in list(self._stderr)]
        return NodeError("\n".join(lines))

    # Requests and events.

    def request(self, op, timeout=None, **fields):
        """Sends a request and returns its reply. Raises NodeError when it is refused or late."""
        ident = self._put(op, fields)
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            try:
                reply = self._replies.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise self._error(op, f"no reply within {timeout or self.timeout:g} s") from None
            if reply is None:
                self._replies.put(None)
                self._gone()
                raise self._error(op, "the program ended without a reply")
            if reply.get("id") == ident:
                break
            self._keep(reply)
        if not reply.get("ok"):
            raise self._error(op, f"refused: {reply.get('error')}")
        return reply

    def _keep(self, reply):
        """The reply to an asked request; a late one, to a request that timed out, is nobody's."""
        if reply.get("id") in self._asked:
            self._asked[reply["id"]] = reply

    def _put(self, op, fields):
        ident = next(self._ids)
        line = json.dumps({"id": ident, "op": op, **fields}, separators=(",", ":")) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except (OSError, ValueError) as e:
            raise self._error(op, f"cannot be sent: {e}") from e
        return ident

    def ask(self, op, **fields):
        """Sends a request and does not wait; answer() gives the reply."""
        ident = self._put(op, fields)
        self._asked[ident] = None
        return ident

    def answer(self, ident):
        """The reply to one that was asked, None while it is not there. Raises NodeError when it was refused."""
        while self._asked[ident] is None:
            try:
                reply = self._replies.get_nowait()
            except queue.Empty:
                return None
            if reply is None:
                self._replies.put(None)
                self._gone()
                raise self._error(f"request {ident}", "the program ended without a reply")
            self._keep(reply)
        reply = self._asked.pop(ident)
        if not reply.get("ok"):
            raise self._error(reply.get("re"), f"refused: {reply.get('error')}")
        return reply

    def event(self, kind, timeout=None, **match):
        """Waits for an event of that kind whose fields match; other events are kept for later."""
        def fits(message):
            return message.get("ev") == kind and all(message.get(k) == v for k, v in match.items())

        for i, message in enumerate(self._unread):
            if fits(message):
                return self._unread.pop(i)
        what = f"event {kind}" + "".join(f" {k}={v}" for k, v in match.items())
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            if self._fatal is not None:
                raise self._error(what, "the program reported an error")
            try:
                message = self._events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise self._error(what, f"did not come within {timeout or self.timeout:g} s") from None
            if message is None:
                self._events.put(None)
                self._gone()
                raise self._error(what, "the program ended")
            if fits(message):
                return message
            self._unread.append(message)

    def _gone(self):
        """Gives the exit status and the last stderr lines a moment to arrive, for the report."""
        try:
            self.process.wait(timeout=1)
            self._threads[1].join(timeout=1)
        except subprocess.TimeoutExpired:
            pass

    # Shorthands.

    def start(self, **cfg):
        reply = self.request("start", **cfg)
        self.peer, self.credit = reply["peer"], reply["credit"]
        return reply

    def addr(self):
        addrs = self.request("addrs")["addrs"]
        if not addrs:
            raise self._error("addrs", "the node does not listen")
        return addrs[0]

    def wait_mesh(self, timeout=None, topic=None, **want):
        """Polls `mesh` until each named field (mesh, subs, conns) has the wanted value."""
        fields = {} if topic is None else {"topic": topic}
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            reply = self.request("mesh", **fields)
            if all(reply.get(k) == v for k, v in want.items()):
                return reply
            if time.monotonic() > end:
                seen = {k: reply.get(k) for k in ("mesh", "subs", "conns")}
                raise self._error("mesh", f"{want} not reached within {timeout or self.timeout:g} s, now {seen}")
            time.sleep(0.01)

    def take_inbox(self, max=256, **fields):
        """Empties the inbox in portions: (messages, number of dropped ones)."""
        messages, dropped = [], 0
        while True:
            reply = self.request("inbox", max=max, **fields)
            dropped += reply.get("dropped", 0)
            if not reply["messages"]:
                return messages, dropped
            messages += reply["messages"]

    # The process.

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """Ends the program the hard way (SIGKILL) and waits until it is gone."""
        if self.alive():
            self.process.kill()
        self.process.wait()
        self._close()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self, timeout=None):
        """Asks the program to stop; it must exit with status 0."""
        self.request("stop", timeout=timeout)
        try:
            code = self.process.wait(timeout or self.timeout)
        except subprocess.TimeoutExpired:
            raise self._error("stop", "replied, but does not exit") from None
        if code != 0:
            raise self._error("stop", "exit status is not 0")
        self._close()

    def _close(self):
        try:
            self.process.stdin.close()
        except OSError:
            pass
        for t in self._threads:
            t.join(timeout=1)
