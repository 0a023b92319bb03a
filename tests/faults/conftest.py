import pytest

from tests.faults.machinery import MEDIUM, STUDY, Lab


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What the study comes to when nobody disturbs it."""
    made = Lab(tmp_path_factory.mktemp("undisturbed"))
    made.innate("run", made.study(STUDY), "--slots", "1")
    return made.truth()


@pytest.fixture(scope="session")
def medium_digests(tmp_path_factory):
    """The weights that the study of medium length comes to."""
    made = Lab(tmp_path_factory.mktemp("medium"))
    made.innate("run", made.study(MEDIUM), "--slots", "1")
    return {row[3] for row in made.truth()[0]}
