"""What the tests of this room share."""

import jaxtyping
import pytest


@pytest.fixture
def unchecked():
    """As a user has it, without the annotations checked: what is wrong must be refused by the functions themselves."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
