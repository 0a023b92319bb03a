"""How a wheel and an sdist are built: by setuptools, and each carries the revision of the source that it was built from.

The sdist holds what builds the wheel, this file among it; the tests and their data stay in the repository.
"""

import runpy
import shutil
from pathlib import Path

from setuptools.build_meta import *  # noqa: F403
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent.parent
THIS = ".ci/building.py"
revision = runpy.run_path(str(ROOT / "core" / "revision.py"))


class BuildPackages(build_py):
    def run(self):
        if self.editable_mode:
            super().run()
            return
        # Setuptools would pack what an earlier build of other source has left here.
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        revision["leave_behind"](revision["revision_of"](ROOT), Path(self.build_lib))


class BuildSource(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, [*files, THIS])
        # Unpacked and packed again, the file is there already, and may be a hard link to the source's.
        (Path(base_dir) / "core" / "revision.json").unlink(missing_ok=True)
        revision["leave_behind"](revision["revision_of"](ROOT), Path(base_dir))
