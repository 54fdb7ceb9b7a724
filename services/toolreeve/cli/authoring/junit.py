"""A JUnit report of cases, which CI systems know how to show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from toolreeve.cli.times import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolreeve.cli.authoring.case_files import Run
    from toolreeve.decision.case_run import Failure, Result
    from toolreeve.decision.cases import CaseFile

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(runs: Sequence[Run]) -> bytes:
    """Return the report: one suite a file, one test a case."""
    top = Xml.Element("testsuites")
    for run in runs:
        failed = sum(1 for result in run.results if result.failure is not None)
        suite = Xml.SubElement(
            top,
            "testsuite",
            name=_text(run.loaded.cases.source),
            tests=str(len(run.results)),
            failures=str(failed),
            errors="0",
            skipped="0",
            time=f"{run.seconds:.3f}",
        )
        for result in run.results:
            _case(suite, run.loaded.cases, result)
    Xml.indent(top)
    report: bytes = Xml.tostring(top, encoding="utf-8", xml_declaration=True)
    return report


def _case(suite: Xml.Element, cases: CaseFile, result: Result) -> None:
    case = Xml.SubElement(
        suite,
        "testcase",
        classname=_text(cases.policy),
        name=_text(result.case.name),
        file=_text(cases.source),
        line=str(result.case.place[0]),
    )
    if result.failure is not None:
        said = _said(result.failure)
        failure = Xml.SubElement(case, "failure", message=_text(said), type="verdict")
        failure.text = _text(_told(cases.source, result.failure))


def _said(failure: Failure) -> str:
    return "; ".join(
        f"{one.key}: expected {one.expected}, came {one.came}" for one in failure.differences
    )


def _told(source: str, failure: Failure) -> str:
    line, column = failure.step.place
    tool = failure.what
    lines = [f"{source}:{line}:{column}: call {failure.call}, {tool} at {written(failure.at)}"]
    lines += [f"{look.stage.value} {look.pointer}: {look.finding}" for look in failure.looks]
    return "\n".join(lines)


def _text(text: str) -> str:
    """Return text without the few characters that XML cannot hold."""
    return _NO_XML.sub("?", text)
