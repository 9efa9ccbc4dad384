"""The artifacts of runs, as they are kept."""

from collections.abc import Iterator
from hashlib import sha256

from llm_orc.domain.kept import KeptArtifact
from llm_orc.domain.problem import Place, Problem, ProblemError, nearest
from llm_orc.store.runs import Store

_CHUNK = 1 << 20
_COLUMNS = "SELECT node, name, media_type, size, sha256 FROM artifacts WHERE run = ?"
_SHOWN = 3


def artifacts(store: Store, run_id: str, node: str = "", *, limit: int = -1) -> list[KeptArtifact]:
    """Those of a run, or of one node; raises ProblemError."""
    number = store.number(run_id)
    query = f"{_COLUMNS} AND (node = ? OR ? = '') ORDER BY node, name LIMIT ?"
    with store.asked():
        return [KeptArtifact(*row) for row in store.connection.execute(query, (number, node, node, limit))]


def artifact(store: Store, run_id: str, name: str, node: str = "") -> KeptArtifact:
    """The one of this name; raises ProblemError where there is none, and where several nodes have one and none of them is said."""
    known = artifacts(store, run_id, node)
    found = [each for each in known if each.name == name]
    whose = f"'{node}' has" if node else "the run has"
    if not found:
        hint = nearest(name, [each.name for each in known]) or f"see: llm-orc runs show {run_id}"
        raise ProblemError(Problem(f"{whose} no artifact '{name}'", hint=hint))
    if len(found) > 1:
        several = ", ".join(each.node for each in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise ProblemError(Problem(f"several agents have an artifact '{name}': {several}", hint=f"say which: --agent '{found[0].node}'"))
    return found[0]


def chunks(store: Store, artifact: KeptArtifact) -> Iterator[bytes]:
    """Its bytes; raises ProblemError before the first of them where they are lost."""
    file = store.texts.file(artifact.sha256)
    lost = ProblemError(Problem("is lost: it is not there any more, or not whole", Place(str(file))))
    try:
        with file.open("rb") as opened:
            hashed = sha256()
            while chunk := opened.read(_CHUNK):
                hashed.update(chunk)
            if hashed.hexdigest() != artifact.sha256:
                raise lost
            opened.seek(0)
            while chunk := opened.read(_CHUNK):
                yield chunk
    except OSError:
        raise lost from None
