"""JUnit XML, which CI systems show as tests: one test case a gate, every metric a property.

Knows outcomes and metrics. Knows nothing of models.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trued.files import mark

if TYPE_CHECKING:
    from trued.language.measure.check.gates import Outcome
    from trued.language.measure.check.result import CheckResult

JUNIT = "test result"
"""What the file is called among the kinds of output."""

# What XML 1.0 cannot contain, not even escaped; a model's name or a template may bring it.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: CheckResult, outcomes: Sequence[Outcome]) -> str:
    """Return the document: a test case for each gate, failed where it fell short; every metric is a property.

    Without gates there is nothing to pass or fail, and one skipped test case says so.
    """
    suite = ET.Element("testsuite", name=_clean(f"trued check {result.model}"))
    properties = ET.SubElement(suite, "properties")
    for name, setting in (("model", result.model), *result.protocol.items()):
        ET.SubElement(properties, "property", name=name, value=_clean(str(setting)))
    for outcome in outcomes:
        case = ET.SubElement(suite, "testcase", classname=f"trued.check.{outcome.gate}", name=_clean(outcome.metric))
        if not outcome.passed:
            failure = ET.SubElement(case, "failure", message=_clean(outcome.says), type=outcome.gate)
            failure.text = _clean(outcome.says)
    for metric in result.metrics:
        bound = "≥ " if metric.lower_bound else ""
        value = f"{bound}{metric.value:.6g} [{metric.low:.6g}, {metric.high:.6g}] {metric.unit}, n = {metric.n}"
        ET.SubElement(properties, "property", name=_clean(metric.id), value=value)
    if not outcomes:
        case = ET.SubElement(suite, "testcase", classname="trued.check", name="gates")
        ET.SubElement(case, "skipped", message="no gate was set, so nothing can pass or fail: --max-asr sets one")
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + f"<!-- {mark(JUNIT)} -->\n"
        + ET.tostring(root, encoding="unicode")
        + "\n"
    )


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
