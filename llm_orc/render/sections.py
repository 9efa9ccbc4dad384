"""The sections of a finished run, each as a document of its own."""

from collections.abc import Iterator

from llm_orc.domain.document import alone
from llm_orc.domain.documented import sections_of
from llm_orc.domain.ensemble import DocumentSynthesis
from llm_orc.domain.layout import Layout
from llm_orc.domain.plan import Plan
from llm_orc.domain.run import Run
from llm_orc.render.template import page_of


def sections(run: Run, plan: Plan) -> Iterator[tuple[str, str]]:
    """The agents that have a reply, and their sections as Markdown."""
    written = plan.ensemble.synthesis
    layout = written.document if isinstance(written, DocumentSynthesis) else Layout()
    scope = page_of(run, plan)
    for section in sections_of(plan, layout.model_copy(update={"on_missing": "omit"}), scope.outcomes, scope):
        yield section.name, alone(section)
