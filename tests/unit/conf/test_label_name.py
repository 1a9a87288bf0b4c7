"""What a label may be called."""

import pytest

from shared.errors import BadInput
from shared.label_name import check_label_names


@pytest.mark.parametrize("name", ["role", "Rack_7", "example.com/zone", "_own", "7", "r" * 63])
def test_names_of_labels_are_letters_digits_and_four_signs(name: str) -> None:
    check_label_names([name])


@pytest.mark.parametrize("name", ["", "Bad Key", "r" * 64, "-a", "a=b", "a,b", "a\n", "zoné"])
def test_other_names_are_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(BadInput, match=r"letters .* digits, '_', '-', '.' and '/'"):
        check_label_names(["role", name])


def test_names_that_are_held_already_stay() -> None:
    check_label_names(["role", "Bad Key"], {"Bad Key": "x"})
