"""What `trued repair` refuses before a model is read."""

import pytest

from trued.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--finetuned", "x"], "a repair needs two models"),
        (["--apply", "x", "--revert", "y"], "both given"),
        (["--revert", "x"], "which model"),
        (["--revert", "none.safetensors", "--finetuned", "x"], "there is no such patch"),
        (["--finetuned", "x", "--aligned", "y", "--harmful", "none.txt"], "there is no such file"),
        (["--finetuned", "x", "--aligned", "y", "--rate", "2"], "rate is 2.0"),
    ],
)
def test_bad_use_is_said_in_one_sentence(arguments, message, tmp_path, capsys):
    assert main(["repair", *arguments, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_output_in_use_and_empty_questions_are_refused(folders, capsys):
    words = ["repair", "--finetuned", "a", "--aligned", "b", "--output"]
    assert main([*words, str(folders / "tuned")]) == 2
    assert "already contains a model or a patch" in capsys.readouterr().err
    (folders / "harmful.txt").write_text("\n")
    assert main([*words, str(folders / "out"), "--harmful", str(folders / "harmful.txt")]) == 2
    assert "has no questions" in capsys.readouterr().err
