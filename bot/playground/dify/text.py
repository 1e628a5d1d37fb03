"""Which text of a run reaches the stream, and when: the outputs of End and Answer nodes as `text_chunk` or `message`.

One response node speaks at a time, in the order in which the run's way to them was decided. A node's text goes out as
soon as each of its variables is known, even before the node itself starts (recordings 01, 05, 13). After a resume the
server has forgotten which ways were decided before: a text whose way was decided in an earlier stretch is not streamed
at all (recordings 06, 16), and an undecided one starts anew from its first piece (recordings 07, 16, 40).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bot.playground.dify.graph import Answer, Edge, End, Graph, Node, Selector
from bot.playground.dify.variables import Pool, as_text, pieces


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of text and where it comes from."""

    text: str
    selector: Selector


@dataclass(slots=True)
class _Response:
    node_id: str
    pieces: list[str | Selector]
    said: int = 0


@dataclass(slots=True)
class _Buffer:
    texts: list[str] = field(default_factory=list)
    closed: bool = False


def _response_of(node: Node) -> _Response:
    match node:
        case End():
            cut: list[str | Selector] = []
            for selector in node.outputs.values():
                cut += ["\n", selector]
            return _Response(node.id, cut[1:])
        case Answer():
            return _Response(node.id, pieces(node.answer))
    raise TypeError(node)


class TextRelay:
    """The texts of one stretch of a run, from its start or a resume to its pause or end."""

    def __init__(self, graph: Graph, pool: Pool) -> None:
        self._graph = graph
        self._pool = pool
        self._taken: set[Edge] = set()
        self._buffers: dict[Selector, _Buffer] = {}
        self._undecided = dict(graph.ways_to_responses)
        self._speaking: deque[_Response] = deque()
        self.take(())

    def take(self, edges: Iterable[Edge]) -> None:
        """Note edges the run has taken; response nodes whose way is decided by now get in line."""
        self._taken.update(edges)
        for node_id, ways in tuple(self._undecided.items()):
            if any(way <= self._taken for way in ways):
                del self._undecided[node_id]
                self._speaking.append(_response_of(self._graph.nodes[node_id]))

    def write(self, selector: Selector, text: str) -> None:
        """Take a piece of text from a node that is still writing."""
        self._buffers.setdefault(selector, _Buffer()).texts.append(text)

    def close(self, selector: Selector) -> None:
        """Note that a writing node has written all of its text."""
        self._buffers.setdefault(selector, _Buffer()).closed = True

    def flush(self) -> Iterator[TextChunk]:
        """Yield what can be said by now."""
        while self._speaking:
            response = self._speaking[0]
            while response.said < len(response.pieces):
                piece = response.pieces[response.said]
                if isinstance(piece, str):
                    yield TextChunk(piece, (response.node_id, "answer"))
                elif buffer := self._buffers.get(piece):
                    while buffer.texts:
                        yield TextChunk(buffer.texts.pop(0), piece)
                    if not buffer.closed:
                        return
                elif self._pool.get(piece) is not None:
                    yield TextChunk(as_text(self._pool[piece]), piece)
                else:
                    return  # a null keeps everything after it back (recording 14)
                response.said += 1
            self._speaking.popleft()
