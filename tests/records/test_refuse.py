"""What is told of names: one that is taken, and one that there is not."""

import pytest

from suasion.records import RecordError, nearest, refuse


def test_what_is_there_is_not_replaced(tmp_path):
    path = tmp_path / "page.html"
    for force in (False, True):
        refuse(path, force=force)  # nothing is there
    path.write_text("x")
    with pytest.raises(RecordError, match=r"page\.html: exists; --force replaces it"):
        refuse(path, force=False)
    refuse(str(path), force=True)
    for force in (False, True):
        with pytest.raises(RecordError, match="exists and is no file; name the file to write"):
            refuse(tmp_path, force=force)
    lost = tmp_path / "lost"
    lost.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RecordError, match="lost: exists"):
        refuse(lost, force=False)
    refuse(lost, force=True)


def test_the_nearest_name():
    names = {"harvest": 1, "cleanup": 2}
    assert nearest("harvets", names) == " (did you mean 'harvest'?)"
    assert nearest("CLEANUP", names) == nearest("x", []) == ""
