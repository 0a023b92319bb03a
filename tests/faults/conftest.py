import pytest

from tests.conftest import shared
from tests.faults.machinery import MEDIUM, STUDY, Lab


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.close()


def undisturbed_lab(factory, document):
    """A study run once for the whole suite."""

    def run(folder):
        made = Lab(folder)
        made.innate("run", made.study(document), "--slots", "1")

    return Lab(shared(factory, f"undisturbed-{document['name']}", run))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What the study comes to when nobody disturbs it."""
    return undisturbed_lab(tmp_path_factory, STUDY).truth()


@pytest.fixture(scope="session")
def medium_digests(tmp_path_factory):
    """The weights that the study of medium length comes to."""
    return {row[3] for row in undisturbed_lab(tmp_path_factory, MEDIUM).truth()[0]}
