#!/usr/bin/env python3
"""Uses a running node through its local socket (docs/socket.md), with nothing but a socket and JSON.

usage: socket_client.py PATH TOPIC          prints the messages of a topic
       socket_client.py PATH TOPIC TEXT     publishes one
"""
import base64, json, socket, struct, sys


class Node:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.stream, self.id, self.events = self.socket.makefile("rb"), 0, []
        self.greeting = self.frame()
        self.ask("hello", version=1)

    def frame(self):
        head = self.stream.read(4)
        if len(head) < 4:
            raise EOFError("the node is gone")
        return json.loads(self.stream.read(struct.unpack(">I", head)[0]))

    def ask(self, op, **members):
        self.id += 1
        text = json.dumps({"id": self.id, "op": op, **members}).encode()
        self.socket.sendall(struct.pack(">I", len(text)) + text)
        while (answer := self.frame()).get("id") != self.id:
            self.events.append(answer)
        if not answer["ok"]:
            raise RuntimeError(answer["error"])
        return answer

    def messages(self, topic, credit=64):
        self.ask("credit", n=credit)
        self.ask("subscribe", topic=topic)
        while True:
            event = self.events.pop(0) if self.events else self.frame()
            if event["ev"] == "message":
                yield event["data"].encode() if "data" in event else base64.b64decode(event["data_base64"])
                self.ask("credit", n=1)


if __name__ == "__main__":
    node = Node(sys.argv[1])
    if len(sys.argv) > 3:
        print("published to", node.ask("publish", topic=sys.argv[2], data=sys.argv[3])["recipients"], "peers")
    else:
        for message in node.messages(sys.argv[2]):
            print(message.decode(errors="backslashreplace"), flush=True)
