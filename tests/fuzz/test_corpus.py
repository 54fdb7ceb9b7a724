"""What fuzzing has kept is read again, and a little more is made of it: nothing may be found."""

import json
import random
import time
from pathlib import Path

import pytest
from tests.fuzz.damage import damaged_bytes, damaged_document
from tests.fuzz.targets import TARGETS, Target

CPU_SECONDS_MAX = 3.0
KEPT_BYTES_MAX = 8_192
DAMAGED_COUNT = 250

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)


def check(target: Target, data: bytes, label: str) -> None:
    """Check one input; a finding names it, and one that takes too long is a finding."""
    begun = time.process_time()
    try:
        target.check(data)
    except Exception as error:
        raise AssertionError(f"{target.name}: {label}: {data[:400]!r}") from error
    assert time.process_time() - begun < CPU_SECONDS_MAX, f"{target.name}: {label} takes too long"


def kept(target: Target) -> list[Path]:
    return sorted(target.kept.iterdir())


@each_target
def test_every_input_that_is_kept_and_every_seed_passes(target: Target) -> None:
    for path in kept(target):
        check(target, path.read_bytes(), path.name)
    for place, seed in enumerate(target.seeds()):
        check(target, seed, f"seed {place}")


@each_target
def test_inputs_damaged_at_random_pass(target: Target) -> None:
    chance = random.Random(20)
    inputs = [*target.seeds(), *(path.read_bytes() for path in kept(target))]
    for number in range(DAMAGED_COUNT):
        data = chance.choice(inputs)
        damaged = damaged_bytes(chance, data, inputs)
        if target.structured and number % 2:
            try:
                document = damaged_document(chance, json.loads(data), target.words, target.odd)
            except ValueError:
                continue
            damaged = json.dumps(document).encode()
        check(target, damaged, f"number {number}")


@each_target
def test_what_is_kept_is_small_and_nothing_is_kept_twice(target: Target) -> None:
    contents = [path.read_bytes() for path in kept(target)]
    assert len(set(contents)) == len(contents)
    assert contents, f"make fuzz TARGET={target.name} and then KEEP=1"
    assert max(map(len, contents)) <= KEPT_BYTES_MAX
