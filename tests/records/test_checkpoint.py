import shutil

import numpy as np
import pytest

from suasion.records import RecordError, newest_checkpoint, save_checkpoint, write_envelope


def save(folder, step, keep=3):
    return save_checkpoint(folder, step, {"weight": np.full(3, step, np.float32)}, {"offset": step * 10}, keep)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_newest_few_are_kept(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    assert newest_checkpoint(folder) is None
    for step in (0, 5, 1_000_000, 20):
        assert save(folder, step, keep=9).name == f"checkpoint-{step:012d}.suasion"
    assert newest_checkpoint(folder).step == 1_000_000
    save(folder, 2_000_000, keep=2)
    assert names(folder) == ["checkpoint-000001000000.suasion", "checkpoint-000002000000.suasion"]
    found = newest_checkpoint(folder)
    assert (found.step, found.header, found.rejected) == (2_000_000, {"offset": 20_000_000}, ())
    assert found.path == folder / "checkpoint-000002000000.suasion"
    np.testing.assert_array_equal(found.arrays["weight"], np.full(3, 2_000_000, np.float32))


def test_bad_ones_are_passed_over_and_named(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=9)
    flipped = tmp_path / "checkpoint-000000000004.suasion"
    content = bytearray(flipped.read_bytes())
    content[-40] ^= 4
    flipped.write_bytes(content)
    cut = tmp_path / "checkpoint-000000000003.suasion"
    cut.write_bytes(cut.read_bytes()[:50])
    (tmp_path / "checkpoint-5.suasion").write_bytes(b"not a name of ours")
    found = newest_checkpoint(tmp_path)
    assert found.step == 2
    assert [message.split(":")[0] for message in found.rejected] == [str(flipped), str(cut)]
    assert "SHA-256" in found.rejected[0]
    assert "truncated" in found.rejected[1]


def test_a_bad_newer_one_does_not_cost_the_new_one_its_place(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    for step in (20, 30):
        (tmp_path / f"checkpoint-{step:012d}.suasion").write_bytes(b"bad")
    save(tmp_path, 15, keep=1)
    assert newest_checkpoint(tmp_path).step == 15
    save(tmp_path, 30)
    assert newest_checkpoint(tmp_path).step == 30


def test_when_all_are_bad_nothing_starts_anew_in_silence(tmp_path):
    for step in (1, 2):
        save(tmp_path, step).write_bytes(b"bad")
    with pytest.raises(RecordError, match=r"none of 2 checkpoints.*000002.*000001"):
        newest_checkpoint(tmp_path)


def test_a_renamed_or_foreign_checkpoint_is_refused(tmp_path):
    shutil.copy(save(tmp_path, 1), tmp_path / "checkpoint-000000000009.suasion")
    write_envelope(tmp_path / "checkpoint-000000000008.suasion", "episode", {}, {})
    write_envelope(tmp_path / "checkpoint-000000000007.suasion", "checkpoint", {}, {"step": 7})
    found = newest_checkpoint(tmp_path)
    assert found.step == 1
    assert "saved at step 1, not at its name's 9" in found.rejected[0]
    assert "holds a 'episode'" in found.rejected[1]
    assert "must hold state and step" in found.rejected[2]


def test_every_flipped_byte_falls_back_to_the_older_one(tmp_path):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    good = newest.read_bytes()
    for place in range(0, len(good), 3):
        bad = bytearray(good)
        bad[place] ^= 0x10
        newest.write_bytes(bad)
        found = newest_checkpoint(tmp_path)
        assert found.step == 1
        assert len(found.rejected) == 1
        newest.write_bytes(good[:place])
        assert newest_checkpoint(tmp_path).step == 1


@pytest.mark.parametrize(("step", "keep", "fault"), [(-1, 3, "step is -1"), (2**63, 3, "step is"), (1, 0, "keep is 0")])
def test_impossible_numbers_are_refused(tmp_path, step, keep, fault):
    with pytest.raises(RecordError, match=fault):
        save(tmp_path, step, keep)


def test_old_ones_stay_when_the_new_one_cannot_be_written(tmp_path, monkeypatch):
    for step in (1, 2, 3):
        save(tmp_path, step)
    before = names(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 4)
    assert names(tmp_path) == before
