import pytest

from tests.conftest import shared
from tests.faults.machinery import MEDIUM, STUDY, Lab, truth


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
def undisturbed_home(tmp_path_factory):
    """A home in which nobody disturbed the study. Tests only read it."""
    return undisturbed_lab(tmp_path_factory, STUDY).home


@pytest.fixture(scope="session")
def undisturbed(undisturbed_home):
    """What the study comes to when nobody disturbs it."""
    return truth(undisturbed_home)


@pytest.fixture(scope="session")
def medium_digests(tmp_path_factory):
    """The weights that the study of medium length comes to."""
    return {row[3] for row in undisturbed_lab(tmp_path_factory, MEDIUM).truth()[0]}
