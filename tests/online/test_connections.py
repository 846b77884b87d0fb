"""What goes over a connection: an answer in one piece or at once, and HTTP/1.1 as before."""

from __future__ import annotations

import json
import re
import select
import socket
import time

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from support.service import free_port, in_process

from tsa_model.online.service.connections import MAX_HEAD_BYTES, QUICK_BYTES


async def echo(request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


async def pieces(_) -> StreamingResponse:
    return StreamingResponse(iter([b"one ", b"two ", b"three"]))


ROUTES = [Route("/echo", echo, methods=["GET", "POST"]), Route("/pieces", pieces)]


class Quick(Starlette):
    """Answers at once what does not begin with "wait"; says so, and how long the body was."""

    def at_once(self, target: bytes, body: bytes, send) -> bool:
        if target != b"/echo" or body.startswith(b"wait"):
            return False
        send(200, b'{"at once":%d}' % len(body) + body[3:4] * len(body) ** 2)
        return True


@pytest.fixture(scope="module")
def port():
    port = free_port()
    with in_process(Starlette(routes=ROUTES), port):
        yield port


@pytest.fixture(scope="module")
def quick_port():
    port = free_port()
    with in_process(Quick(routes=ROUTES), port):
        yield port


@pytest.fixture
def quick(quick_port):
    with socket.create_connection(("127.0.0.1", quick_port), timeout=10) as link:
        yield link


@pytest.fixture
def link(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        yield link


def request(method: str = "POST", path: str = "/echo", body: bytes = b"", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def until_closed(link: socket.socket) -> bytes:
    found = b""
    while part := link.recv(2**16):
        found += part
    return found


def test_head_and_body_arrive_together_again_and_again(link) -> None:
    for size in (0, 1, 1000):
        link.sendall(request(body=b"a" * size))
        head, _, body = link.recv(2**16).partition(b"\r\n\r\n")  # one piece is one call
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert json.loads(body) == {"bytes": size}


def test_an_answer_without_a_body_is_its_head(link) -> None:
    link.sendall(request("HEAD"))
    head = link.recv(2**16)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    link.sendall(request())
    assert link.recv(2**16).endswith(b'{"bytes":0}')


def test_requests_one_behind_the_other_are_answered_in_their_sequence(link) -> None:
    link.sendall(
        b"".join(request(body=b"a" * size) for size in (3, 2)) + request(more="Connection: close\r\n")
    )
    answers = until_closed(link)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3
    places = [answers.index(b'{"bytes":%d}' % size) for size in (3, 2, 0)]
    assert places == sorted(places)


def test_who_waits_to_be_told_to_go_on_is_told(link) -> None:
    link.sendall(request(body=b"abc", more="Expect: 100-continue\r\n")[:-3])
    assert link.recv(2**16).startswith(b"HTTP/1.1 100 ")
    link.sendall(b"abc")
    assert link.recv(2**16).endswith(b'{"bytes":3}')


def test_an_answer_in_several_pieces_is_whole(link) -> None:
    link.sendall(request("GET", "/pieces", more="Connection: close\r\n"))
    answer = until_closed(link)
    assert [part in answer for part in (b"one ", b"two ", b"three", b"\r\n0\r\n\r\n")] == [True] * 4


def test_what_is_no_http_is_answered_with_400(link) -> None:
    link.sendall(b"what is this\r\n\r\n")
    answer = until_closed(link)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"Invalid HTTP request received.")


def test_fields_behind_a_body_of_unknown_length_are_read(link) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    link.sendall(head + b"3\r\nabc\r\n0\r\nmore: 1\r\n\r\n")
    assert link.recv(2**16).endswith(b'{"bytes":3}')


CHUNKED = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nmore: "


@pytest.mark.parametrize(
    ("begin", "filling"),
    [
        (b"POST /", b"a"),
        (b"POST /echo HTTP/1.1\r\nmore: ", b"a"),
        (b"POST /echo HTTP/1.1\r\nmore: ", b"a\r\nmore: "),
        (CHUNKED, b"a"),
        (CHUNKED, b"a\r\nmore: "),
    ],
    ids=["first line", "field", "fields", "field behind a body", "fields behind a body"],
)
def test_a_head_without_an_end_is_refused(link, begin, filling) -> None:
    link.sendall(begin)
    n_sent = 0
    while not select.select([link], [], [], 0.01)[0]:  # what arrives with a piece of the body does not count
        assert n_sent < 20 * MAX_HEAD_BYTES
        link.sendall(filling * (2**13 // len(filling)))
        n_sent += 2**13
    answer = until_closed(link)
    assert b"HTTP/1.1 400 " in answer
    assert answer.endswith(b"The head of a request is longer than 65536 bytes.")


def test_a_long_body_is_no_long_head(link) -> None:
    size = 3 * MAX_HEAD_BYTES
    link.sendall(request(body=b"a" * size))
    assert link.recv(2**16).endswith(b'{"bytes":%d}' % size)
    link.sendall(request(body=b"a"))
    assert link.recv(2**16).endswith(b'{"bytes":1}')


def test_a_plain_request_is_answered_at_once_and_alike(quick) -> None:
    heads = []
    for body, content in ((b"abc", b'{"at once":3}'), (b"wait", b'{"bytes":4}'), (b"", b'{"at once":0}')):
        quick.sendall(request(body=body))
        head, _, found = quick.recv(2**16).partition(b"\r\n\r\n")
        assert found == content
        heads.append({line for line in head.split(b"\r\n") if not line.startswith((b"date: ", b"content-l"))})
    assert heads[0] == heads[1] == heads[2]
    assert heads[0] == {b"HTTP/1.1 200 OK", b"server: uvicorn", b"content-type: application/json"}


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (request("GET"), b'{"bytes":0}'),
        (request("GET", "/pieces"), b"three"),
        (request(path="/echo?a=1"), b'{"bytes":0}'),
        (request(more="Connection: close\r\n"), b'{"bytes":0}'),
        (request(body=b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"), b'{"bytes":3}'),
        (request(body=b"a" * (QUICK_BYTES + 1)), b'{"bytes":4097}'),
        (request(more="Upgrade: other\r\nConnection: upgrade\r\n"), b'{"bytes":0}'),
    ],
    ids=["GET", "other path", "query", "last one", "HTTP/1.0", "long", "upgrade"],
)
def test_what_is_not_plain_goes_the_usual_way(quick, sent, wanted) -> None:
    quick.sendall(sent)
    answer = quick.recv(2**16)
    while wanted not in answer:
        part = quick.recv(2**16)
        assert part
        answer += part
    assert b"at once" not in answer


def test_who_waits_to_be_told_to_go_on_is_not_answered_at_once(quick) -> None:
    quick.sendall(request(body=b"abc", more="Expect: 100-continue\r\n")[:-3])
    assert quick.recv(2**16).startswith(b"HTTP/1.1 100 ")
    quick.sendall(b"abc")
    assert quick.recv(2**16).endswith(b'{"bytes":3}')


def test_a_body_in_pieces_arrives_whole_whichever_way_it_goes(quick) -> None:
    head = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    for first, n_more in ((b"abc", 2), (b"wait", 2), (b"abc", QUICK_BYTES)):
        quick.sendall(head + b"%x\r\n%b\r\n" % (len(first), first))
        quick.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (n_more, b"x" * n_more))
        way = b"at once" if n_more == 2 and first != b"wait" else b"bytes"
        assert b'{"%b":%d}' % (way, len(first) + n_more) in quick.recv(2**16)


def test_requests_of_both_ways_are_answered_in_their_sequence(quick) -> None:
    bodies = [b"a", b"wait", b"ab", b"abc", b"wait!", b""]
    last = request(more="Connection: close\r\n", body=b"end")
    quick.sendall(b"".join(request(body=body) for body in bodies) + last)
    answers = until_closed(quick)
    lengths = re.findall(rb'{"[a-z ]+":(\d+)}', answers)
    assert lengths == [b"%d" % len(body) for body in (*bodies, b"end")]
    assert answers.count(b"at once") == 1  # the first; the others stand behind one that takes time


def test_who_reads_late_gets_all_answers(quick) -> None:
    body, n_requests = b"abcd" * 256, 40  # a megabyte each
    quick.sendall(request(body=body) * n_requests + request(more="Connection: close\r\n"))
    time.sleep(0.2)
    answers = until_closed(quick)
    assert answers.count(b'{"at once":1024}') + answers.count(b'{"bytes":1024}') == n_requests
    assert answers.count(b"d" * len(body) ** 2) == answers.count(b"at once")


def test_a_server_with_too_many_connections_answers_nothing_at_once() -> None:
    port = free_port()
    with (
        in_process(Quick(routes=ROUTES), port, limit_concurrency=1),
        socket.create_connection(("127.0.0.1", port), timeout=10) as link,
    ):
        link.sendall(request(body=b"abc"))
        assert until_closed(link).startswith(b"HTTP/1.1 503 ")
