"""Names that only look alike have a skeleton in common, and others have none."""

import pytest

from toolreeve.policy.skeleton import skeletons


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("vm_delete", "vm_d\u0435lete"),
        ("vm_stop", "V\u041c_stop"),
        ("alpha", "\u0391lpha"),
        ("vm_list", "vm_1ist"),
        ("vm_list", "vm_Iist"),
        ("vm_list", "vm_\u200blist"),
        ("vm_list", "\uff56m_list"),
        ("modify", "rnodify"),
        ("get_id", "get_ID"),
        ("vm-stop", "vm\u2011stop"),
        ("root", "r00t"),
    ],
)
def test_names_that_look_alike_are_told(one: str, other: str) -> None:
    assert set(skeletons(one)) & set(skeletons(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [("vm_start", "vm_stop"), ("vm_list", "vms_list"), ("read", "write"), ("vm_1", "vm_2")],
)
def test_names_that_differ_to_the_eye_are_not(one: str, other: str) -> None:
    assert not set(skeletons(one)) & set(skeletons(other))
