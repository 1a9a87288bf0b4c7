"""Takes in what peers post about nodes, and answers where they ask."""

from dataclasses import dataclass

from hub.mesh import Mesh
from hub.peering.doubles import two_of
from hub.peering.exchange import Exchange
from hub.peering.exchange_sweep import answer_listing, answer_swap, answer_table
from hub.peering.exchange_wire import Ask, Head, Listing, Push, Swap, Table
from hub.peering.node_letters import read_any, write_letter
from hub.peering.refusals import Double
from shared.errors import BadInput
from shared.merge import NodeRecord
from shared.runtime import Runtime


@dataclass(frozen=True, slots=True)
class TalkAnswers:
    """The answering side of the talk of one hub."""

    mesh: Mesh
    exchange: Exchange[NodeRecord]
    runtime: Runtime

    def answer(self, letter: bytes) -> bytes:
        """Take in what a peer posts, and answer where it asks; raises BadInput or Refused."""
        exchange, at_ms = self.exchange, self.runtime.wall_ms()
        message = read_any(letter, exchange.cluster)
        self.mesh.check_admitted(message.sender)
        self._check_double(message)
        match message:
            case Push() as push:
                exchange.take_push(push, at_ms)
                return b""
            case Ask() as ask:
                return write_letter(exchange.answer(ask))
            case Table() as table:
                return write_letter(answer_table(exchange, table))
            case Listing() as listing:
                return write_letter(answer_listing(exchange, listing))
            case Swap() as swap:
                return write_letter(answer_swap(exchange, swap, at_ms))
            case other:
                raise BadInput(f"this door is not for a message of the kind {type(other).__name__}")

    def _check_double(self, message: Head) -> None:
        """Refuse the letters of a double, which has another life than the hub that bears the name."""
        standing = self.exchange.peers.get(message.sender)
        is_other = standing is not None and message.life != standing.life
        if is_other and self.mesh.doubles.has_two(message.sender):
            raise Double(message.sender, two_of(message.sender))
