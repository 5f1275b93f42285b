"""A wire between a client and a server that can be cut at a chosen word, so that an answer is lost or a request never arrives."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ("Proxy",)


class Proxy:
    """Forwards every connection to a server on this machine; listens on a free port from the start of its ``with`` block."""

    def __init__(self, port: int) -> None:
        """Take the server's port."""
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._cut: tuple[bytes, Literal["request", "answer"]] | None = None
        self.was_cut = threading.Event()
        """Set once a connection has been cut."""
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def cut_at(self, word: bytes, losing: Literal["request", "answer"]) -> None:
        """Cut the connection that next sends this word: before the server gets it, or once it has answered, with the answer lost."""
        self.was_cut.clear()
        self._cut = (word, losing)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._begin(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close everything."""
        for end in (self._listener, *self._open):
            _close(end)
        for thread in self._threads:
            thread.join()

    def _begin(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            losing = threading.Event()
            self._begin(self._requests, client, server, losing)
            self._begin(self._answers, client, server, losing)

    def _requests(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        while data := _receive(client):
            cut = self._cut
            if cut is not None and cut[0] in data.upper():
                self._cut = None
                losing.set()
                if cut[1] == "request":
                    break
            _send(server, data)
        self._end(client, server, losing)

    def _answers(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        while (data := _receive(server)) and not losing.is_set():
            _send(client, data)
        self._end(client, server, losing)

    def _end(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        _close(client)
        _close(server)
        if losing.is_set():
            self.was_cut.set()


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(65536)
    except OSError:
        return b""


def _send(end: socket.socket, data: bytes) -> None:
    try:
        end.sendall(data)
    except OSError:
        _close(end)


def _close(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    finally:
        end.close()
