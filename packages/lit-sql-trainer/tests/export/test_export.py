"""What is exported is what was trained, whoever wrote the checkpoint; and what is not is refused and leaves nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lit_sql_trainer.cli import main
from lit_sql_trainer.runs import RunFolder

torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")

MakeRun = Callable[..., RunFolder]


def export(*arguments: object, code: int = 0) -> Result:
    """`lit-sql export …`, which must end with `code`."""
    result = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def proof_of(folder: Path) -> dict[str, Any]:
    """What stands in proof.json."""
    return json.loads((folder / "proof.json").read_text())


def weights_of(folder: Path) -> dict[str, Any]:
    """The tensors of a folder."""
    from safetensors.torch import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sets of tensors are equal, bit by bit."""
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_is_exported_with_its_proof(make_run: MakeRun, trained_folder: Path, tmp_path: Path) -> None:
    """The best checkpoint, whole, with digests and replies that prove it, and nothing that only resuming needs."""
    run, out = make_run(trained_folder), tmp_path / "out"
    told = export(run.path, out).output
    assert same(weights_of(out), weights_of(trained_folder))
    names = {file.name for file in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "README.md"} <= names
    assert not {"optimiser.pt", "state.json"} & names
    proof = proof_of(out)
    assert len(proof["digests"]) == proof["tensors"] == proof["changed_tensors"] == len(weights_of(out))
    assert all(len(digest) == 64 for digest in proof["digests"].values())
    assert len(proof["replies"]) == proof["replies_equal_checkpoint"] == 8
    assert 0 < proof["replies_differ_from_base"] <= 8
    assert all(reply["checkpoint"] == reply["exported"] for reply in proof["replies"])
    assert "SELECT" not in json.dumps([reply["question"] for reply in proof["replies"]])
    assert f"lit-sql serve {out}" in told
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_the_card_says_what_it_is(make_run: MakeRun, trained_folder: Path, tmp_path: Path) -> None:
    """Base, data, validation with intervals, settings, proof and licences; no path of this machine."""
    run, out = make_run(trained_folder), tmp_path / "out"
    export(run.path, out, "--prompts=2")
    card = (out / "README.md").read_text()
    for section in ("Use", "Training data", "Evaluation", "Settings", "Proof", "Licences"):
        assert f"\n## {section}\n" in card
    assert "| 40 | 58.3 % | 32.0 to 80.7 | 7 of 12 |" in card
    assert "after step 40" in card
    assert "24 train, 12 validation questions" in card
    assert "--style compact --check rules" in card
    assert str(tmp_path) not in card
    assert str(tmp_path) not in (out / "lit_sql.json").read_text() + (out / "proof.json").read_text()


def test_the_same_export_from_another_door(make_run: MakeRun, trained_folder: Path, tmp_path: Path) -> None:
    """A run's folder, its name, and the checkpoint inside it lead to the same weights; `last` is another checkpoint."""
    run = make_run(trained_folder)
    for number, what in enumerate((run.path, run.name, run.checkpoints / "best")):
        out = tmp_path / f"out{number}"
        export(what, out, "--prompts=0", "--runs", run.path.parent)
        assert same(weights_of(out), weights_of(trained_folder))
    assert "no checkpoint 'last' yet" in export(run.path, tmp_path / "o", "--checkpoint=last", code=2).output


def test_untrained_weights_are_refused(make_run: MakeRun, random_model: Path, tmp_path: Path) -> None:
    """Weights that equal the base's are no result; --force exports them, and the proof says so."""
    run, out = make_run(random_model), tmp_path / "out"
    result = export(run.path, out, code=2)
    assert "equal those of the base" in result.output
    assert not out.exists()
    export(run.path, out, "--force", "--prompts=2")
    assert proof_of(out)["changed_tensors"] == 0
    assert proof_of(out)["replies_differ_from_base"] == 0


def test_without_a_base_nothing_is_proved_against_it(trained_folder: Path, random_model: Path, tmp_path: Path) -> None:
    """A folder of unknown origin needs --base, or --force."""
    assert "--base" in export(trained_folder, tmp_path / "a", code=2).output
    export(trained_folder, tmp_path / "a", "--base", random_model, "--prompts=1")
    assert proof_of(tmp_path / "a")["changed_tensors"] > 0
    export(trained_folder, tmp_path / "b", "--force", "--prompts=0")
    assert proof_of(tmp_path / "b")["changed_tensors"] is None
    assert "Not measured." in (tmp_path / "b" / "README.md").read_text()


def test_rounded_weights_are_proved_as_they_are_written(
    trained_folder: Path, random_model: Path, tmp_path: Path
) -> None:
    """With --dtype the digests are of the rounded tensors, and the configuration names their type."""
    out = tmp_path / "out"
    export(trained_folder, out, "--base", random_model, "--dtype=bfloat16", "--prompts=2")
    assert {tensor.dtype for tensor in weights_of(out).values()} == {torch.bfloat16}
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    wanted = {name: tensor.to(torch.bfloat16) for name, tensor in weights_of(trained_folder).items()}
    assert same(weights_of(out), wanted)


def test_what_is_written_wrongly_is_not_kept(
    trained_folder: Path, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that changes one number, or a tokenizer that gets lost, is found, and nothing is left."""
    import huggingface_hub

    def careless(state: dict[str, Any], folder: Path, **options: Any) -> None:
        name = sorted(state)[0]
        honest({**state, name: state[name] + 1e-3}, folder, **options)

    honest = huggingface_hub.save_torch_state_dict
    monkeypatch.setattr(huggingface_hub, "save_torch_state_dict", careless)
    told = export(trained_folder, tmp_path / "out", "--base", random_model, "--prompts=0", code=1).output
    assert "1 tensors were not written as they are in the checkpoint" in told
    assert list(tmp_path.iterdir()) == []


def test_a_lost_template_is_noticed(trained_folder: Path, random_model: Path, tmp_path: Path) -> None:
    """The model would be asked in other words than it was trained with."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(trained_folder, folder)
    (folder / "chat_template.jinja").unlink()
    assert "chat template" in export(folder, tmp_path / "out", "--base", random_model, code=2).output


def test_an_existing_place_and_an_unknown_source_are_refused(trained_folder: Path, tmp_path: Path) -> None:
    """Nothing is ever overwritten, and what is no checkpoint is said to be none."""
    assert "exists" in export(trained_folder, tmp_path, code=2).output
    (tmp_path / "empty").mkdir()
    assert "holds no checkpoint" in export(tmp_path / "empty", tmp_path / "out", code=2).output
    assert "no run 'nosuch'" in export("nosuch", tmp_path / "out", code=2).output


def test_an_evaluation_comes_into_the_card(make_run: MakeRun, trained_folder: Path, tmp_path: Path) -> None:
    """A folder that is no evaluation is refused before anything is written."""
    run = make_run(trained_folder)
    told = export(run.path, tmp_path / "out", "--prompts=0", "--evaluation", tmp_path / "none", code=2).output
    assert "--evaluation" in told
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_nothing(
    make_run: MakeRun, trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between writing and proving, the half folder goes, and the line says how to begin again."""
    from lit_sql_trainer.export import proof

    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(proof, "read_folder", interrupted)
    run = make_run(trained_folder)
    told = export(run.path, tmp_path / "out", "--force", code=130).output
    assert "give the same command to begin again" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
