"""Idle WebSockets, plain and over TLS, opened one after the other."""

import socket
import ssl

from peers import Failed


def open_upgrades(port, headers, most, context):
    """WebSockets from four addresses, each after a message there and back; fewer when the proxy accepts no more."""
    request = "".join(f"{line}\r\n" for line in [
        "GET /idle HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *headers, ""]).encode()
    message = bytes([0x82, 0x80 | 126, 4, 0]) + bytes(4) + b"\7" * 1024
    opened = []
    for number in range(most):
        stream = socket.socket()
        stream.settimeout(10)
        try:
            stream.bind((f"127.0.0.{1 + number % 4}", 0))
            stream.connect(("127.0.0.1", port))
            if context:
                stream = context.wrap_socket(stream)
            stream.sendall(request)
            answer = receive(stream, lambda got: b"\r\n\r\n" in got)
            if answer and not answer.startswith(b"HTTP/1.1 101 "):
                raise Failed(f"no WebSocket: {answer[:200]!r}")
            stream.sendall(message)
            if not answer or len(receive(stream, lambda got: len(got) >= 1028)) != 1028:
                raise ConnectionResetError
        except (ConnectionError, ssl.SSLError, TimeoutError):
            stream.close()
            break
        opened.append(stream)
    return opened


def receive(stream, enough):
    got = b""
    while not enough(got):
        more = stream.recv(4096)
        if not more:
            return b""
        got += more
    return got
