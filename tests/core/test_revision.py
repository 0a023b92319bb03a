"""The revision of the source: asked of git in a checkout, left behind by a build, unknown elsewhere."""

import subprocess

from core.revision import Revision, leave_behind, revision_of

UNKNOWN = Revision(None, None)


def git(folder, *arguments):
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def checkout(folder):
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


def committed(folder):
    """A file with a space in its name, committed: the commit."""
    (folder / "a file").write_text("one")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "one")
    return git(folder, "rev-parse", "HEAD")


def test_a_checkout_tells_its_commit_and_whether_tracked_files_differ(tmp_path):
    root = checkout(tmp_path / "ours")
    assert revision_of(root) == UNKNOWN, "nothing is committed"
    commit = committed(root)
    (root / "untracked").touch()
    assert revision_of(root) == Revision(commit, False)
    (root / "a file").write_text("two")
    assert revision_of(root) == Revision(commit, True)
    git(root, "worktree", "add", "--quiet", "--detach", str(tmp_path / "worktree"))
    assert revision_of(tmp_path / "worktree") == Revision(commit, False)


def test_a_hook_of_another_repository_does_not_lend_its_commit(tmp_path, monkeypatch):
    root, another = checkout(tmp_path / "ours"), checkout(tmp_path / "another")
    commit = committed(root)
    monkeypatch.setenv("GIT_DIR", str(another / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(another / ".git" / "index"))
    assert revision_of(root) == Revision(commit, False)


def test_elsewhere_it_is_what_the_build_left_and_no_process_is_started(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    (tmp_path / "core").mkdir()
    assert revision_of(tmp_path) == UNKNOWN
    for revision in (Revision("9cf89e7" + 33 * "0", True), UNKNOWN):
        leave_behind(revision, tmp_path)
        assert revision_of(tmp_path) == revision
    for spoilt in ("", "[]", '{"git_revision": "a"}', "\udcff"):
        (tmp_path / "core" / "revision.json").write_text(spoilt, errors="surrogateescape")
        assert revision_of(tmp_path) == UNKNOWN
    (tmp_path / ".git").mkdir()
    leave_behind(Revision("a", False), tmp_path)
    assert revision_of(tmp_path) == UNKNOWN, "a checkout without git is not what somebody once built"
