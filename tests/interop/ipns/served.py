"""`meshsub ipns serve` and the commands beside it."""

import contextlib
import os
import pathlib
import queue
import re
import subprocess
import tempfile
import threading

from nodes import STARTS

from transfer import check


class Served(contextlib.ExitStack):
    """A node that serves names, with a store that outlives its process and a port that stays the same; more: options of `serve`."""

    def __init__(self, program, *more):
        super().__init__()
        self.program, self.more, self.process, self.listen = program, more, None, "/ip4/127.0.0.1/tcp/0"
        self.folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory(prefix="msub-serve-", ignore_cleanup_errors=True)))
        self.socket = self.folder / "n.sock"
        self.callback(self.kill)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        self.lines = queue.Queue()
        self.process = subprocess.Popen([self.program, "ipns", "serve", "--store", str(self.folder / "names"), "--socket", str(self.socket), "--listen", self.listen, *self.more],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for stream in (self.process.stdout, self.process.stderr):
            threading.Thread(target=self.read, args=(stream,), daemon=True).start()
        self.said = []
        self.addr = self.line(r"(/ip4/127\.0\.0\.1/tcp/[0-9]+/p2p/\S+)")
        self.listen, _, self.peer = self.addr.partition("/p2p/")
        self.url = self.line(r".*(http://[^ ]*/)routing/v1/ipns/") if "--routing" in self.more else None

    def read(self, stream):
        for line in stream:
            self.lines.put(line.rstrip("\n"))

    def line(self, pattern):
        """Of what it has said so far, or says yet, on either stream."""
        at = 0
        while True:
            try:
                while at == len(self.said):
                    self.said.append(self.lines.get(timeout=STARTS))
            except queue.Empty:
                check(False, f"meshsub ipns serve says {self.said}, nothing like {pattern}")
            found = re.match(pattern, self.said[at])
            if found:
                return found.group(1)
            at += 1

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def meshsub(self, *args):
        """A command at this node; its stdout."""
        done = subprocess.run([self.program, *args], capture_output=True, text=True, timeout=STARTS, env={**os.environ, "MESHSUB_SOCKET": str(self.socket)})
        check(done.returncode == 0, f"meshsub {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout.strip()
