"""Where a conversation stands."""

from collections.abc import Iterable

from llm_orc.domain.problem import Problem
from llm_orc.library.conversation import ConversationGraph, ConversationNode
from llm_orc.library.graph import GraphError, Which


class ConversationContext:
    """A cursor: what is asked next goes on from it. It advances with each answer, and can be moved back, which makes a branch."""

    def __init__(self, conversation: ConversationGraph) -> None:
        self.conversation = conversation
        self._moved: tuple[str, ...] | None = None

    @property
    def current(self) -> tuple[str, ...]:
        """The responses that come next is said after: one, or all that were asked for at once; none at the beginning."""
        if self._moved is not None:
            return self._moved
        answered = [each for each in self.conversation.get_nodes("response", "completed") if not each.parent]
        if not answered:
            return ()
        last = answered[-1]
        group = last.execution.parallel_group
        return tuple(each.id for each in answered if group and each.execution.parallel_group == group) or (last.id,)

    @property
    def current_message(self) -> ConversationNode | None:
        """The last of them."""
        return self.conversation.nodes[self.current[-1]] if self.current else None

    @property
    def messages(self) -> list[ConversationNode]:
        """All that was said up to there."""
        return self.conversation.history_of(self.current)

    def move_to(self, *nodes: Which) -> None:
        """Go on from these instead, or, without any, from nothing; raises GraphError for what was not answered."""
        moved = [answer_of(self.conversation, each) for each in nodes]
        if unanswered := [each for each in moved if self.conversation.nodes[each].status != "completed"]:
            what = f"'{unanswered[0]}' has no answer to go on from: it is {self.conversation.nodes[unanswered[0]].status}"
            raise GraphError(Problem(what, hint="move to a response that is completed"))
        self._moved = tuple(dict.fromkeys(moved))

    def advance(self, nodes: Iterable[str]) -> None:
        """Those that were asked at once have ended; if none was answered it stays where it is."""
        answered = [each for each in nodes if each in self.conversation.nodes and self.conversation.nodes[each].status == "completed"]
        self._moved = tuple(answered) or self.current

    def reset(self) -> None:
        """It stands at the last answer, whoever asked."""
        self._moved = None

    def leave(self, gone: set[str]) -> None:
        """These are no longer there."""
        if self._moved is not None and not gone.isdisjoint(self._moved):
            self._moved = tuple(each for each in self._moved if each not in gone) or None


def answer_of(conversation: ConversationGraph, node: Which) -> str:
    """The id of the response that a node is, or that a prompt had."""
    known = conversation.get_node(node).id
    answers = [edge.source_id for edge in conversation.get_edges(known, "response_to") if edge.target_id == known]
    return answers[0] if answers else known
