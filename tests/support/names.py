"""A name server for tests: what it answers is a table."""

import queue
import socket
import struct
import threading

A, TXT, AAAA = 1, 16, 28


class Names:
    """Answers from `zone`: {(name, type): [data]}, over UDP, on the socket given or else on a free port of loopback."""

    def __init__(self, udp=None, zone=None):
        self.zone, self.asked = zone or {}, queue.Queue()
        if udp is None:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind(("127.0.0.1", 0))
        self.udp = udp
        self.address = "%s:%d" % udp.getsockname()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, who = self.udp.recvfrom(600)
            parts, at = [], 12
            while query[at]:
                parts.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = struct.unpack(">H", query[at + 1:at + 3])[0]
            name = ".".join(parts).lower()
            self.asked.put((name, kind))
            found = self.zone.get((name, kind), [])
            known = any(key[0] == name for key in self.zone)
            answer = struct.pack(">HHHHHH", struct.unpack(">H", query[:2])[0], 0x8180 if known else 0x8183, 1, len(found), 0, 0) + query[12:at + 5]
            for data in found:
                answer += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 30, len(data)) + data
            self.udp.sendto(answer, who)
