"""A project with groups, and the stages that come of it: here it is not asked how they are made."""

from dataclasses import replace

from tests.conformance.harness import Case
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Pipeline, StageName
from wherry.service.domain.paths import ProjectPath

GROUPS = Case(
    name="groups",
    files={
        "dvc.yaml": """\
stages:
  first: {cmd: x, outs: [first]}
  train:
    foreach: {a: 1, "b:c/d": 2, b: 3}
    do: {cmd: x, deps: [first], outs: ["t${item}"]}
  grid:
    matrix: {n: [x], m: [1, 2]}
    cmd: x
    deps: [t1]
    outs: ["g${item.m}"]
  after: {cmd: x, deps: [g1, g2, t3], outs: [after]}
  apart: {cmd: x, outs: [apart]}
"""
    },
)

# "--" stands for the mark that no name in a dvc.yaml can have.
_EXPANDED = b"""\
stages:
  first: {cmd: x, outs: [first]}
  train--a: {cmd: x, deps: [first], outs: [t1]}
  "train--b:c/d": {cmd: x, deps: [first], outs: [t2]}
  train--b: {cmd: x, deps: [first], outs: [t3]}
  grid--x-1: {cmd: x, deps: [t1], outs: [g1]}
  grid--x-2: {cmd: x, deps: [t1], outs: [g2]}
  after: {cmd: x, deps: [g1, g2, t3], outs: [after]}
  apart: {cmd: x, outs: [apart]}
"""


def expanded_groups() -> Pipeline:
    """The stages of GROUPS."""
    stages = [
        replace(stage, name=StageName(key), key=key)
        for stage in parse_pipeline_file(_EXPANDED, ProjectPath("dvc.yaml"))
        for key in [stage.key.replace("--", "@")]
    ]
    return build_pipeline(stages, ())
