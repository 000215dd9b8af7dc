#!/usr/bin/env python3
"""Many clients that pull at once, made by one thread: each has a connection, asks for all paths one after the other, and takes every byte into
memory. Neither proves nor stores them, so that the servers are what is measured; it is the same load for each of them.

    pull_load.py CLIENTS HOST:PORT[,HOST:PORT] PATH...      prints {"seconds", "bytes", "p50", "p99"} as JSON; seconds of one client's pull

Clients take the addresses by turns. An answer other than 200, or one that ends early, ends the run.
"""
import json
import resource
import select
import socket
import sys
import time

AT_ONCE = 256 << 10
LONGEST_HEAD = 64 << 10


class Client:
    """One pull: what it waits for is the head of an answer, or the rest of its body."""

    def __init__(self, address, paths):
        self.host, self.paths, self.head, self.left, self.is_chunked = address, list(paths), b"", None, False
        host, port = address.rsplit(":", 1)
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex((host, int(port)))
        self.begun = time.perf_counter()

    def ask(self):
        """Sends the next request; False where there is none."""
        if not self.paths:
            return False
        request = f"GET {self.paths.pop(0)} HTTP/1.1\r\nHost: {self.host}\r\nAccept-Encoding: identity\r\n\r\n".encode()
        if self.socket.send(request) != len(request):
            sys.exit("a request did not fit into an empty connection")
        self.head, self.left, self.is_chunked = b"", None, False
        return True

    def take(self, room):
        """Takes what is there: how many bytes of a body, and whether the answer is complete."""
        count = self.socket.recv_into(room)
        if count == 0:
            sys.exit(f"{self.host} ended a connection in the middle of an answer")
        if self.left is None:
            count = self.read_head(bytes(room[:count]))
            if self.left is None:
                return 0, False
        elif self.is_chunked:
            self.head = (self.head + bytes(room[:count]))[-5:]
        if self.is_chunked:
            return count, self.head.endswith(b"0\r\n\r\n")
        self.left -= count
        return count, self.left == 0

    def read_head(self, some):
        """Bytes of the body that came with the head, once it is whole."""
        self.head += some
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if not end:
            if len(self.head) > LONGEST_HEAD:
                sys.exit(f"{self.host} sends no answer")
            return 0
        lines = head.decode("latin-1").split("\r\n")
        if " 200 " not in f"{lines[0]} ":
            sys.exit(f"{self.host} answers {lines[0]}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.is_chunked = "chunked" in fields.get("transfer-encoding", "")
        self.left, self.head = int(fields.get("content-length", 0)), rest[-5:]
        return len(rest)


def pull(count, addresses, paths):
    begun = time.perf_counter()
    clients = [Client(addresses[at % len(addresses)], paths) for at in range(count)]
    poll, by_number = select.epoll(), {client.socket.fileno(): client for client in clients}
    for number in by_number:
        poll.register(number, select.EPOLLOUT)
    room, total, times = memoryview(bytearray(AT_ONCE)), 0, []
    while len(times) < count:
        for number, event in poll.poll():
            client = by_number[number]
            if event & (select.EPOLLERR | select.EPOLLHUP) and not event & select.EPOLLIN:
                sys.exit(f"{client.host} takes no connection")
            if event & select.EPOLLOUT:
                client.ask()
                poll.modify(number, select.EPOLLIN)
                continue
            got, is_complete = client.take(room)
            total += got
            if is_complete and not client.ask():
                times.append(time.perf_counter() - client.begun)
                poll.unregister(number)
                client.socket.close()
    times.sort()
    at = lambda share: times[int((len(times) - 1) * share)]  # noqa: E731
    return {"seconds": time.perf_counter() - begun, "bytes": total, "p50": at(0.5), "p99": at(0.99)}


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(pull(int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:])))
