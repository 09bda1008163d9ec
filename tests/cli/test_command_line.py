"""How commands end: one line, an exit code with a meaning, a trace only when it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
import yaml

from cfcre import errors
from cfcre.cli import status as status_command
from cfcre.cli.main import cli, main
from cfcre.config import Settings

COMMANDS = [
    "config show",
    "demo",
    "extract",
    "migrate",
    "models",
    "pipeline compile",
    "pipeline schedule remove",
    "pipeline schedule set",
    "pipeline schedule show",
    "pipeline submit",
    "predict",
    "promote",
    "quarantine export",
    "quarantine list",
    "quarantine show",
    "retry",
    "rollback",
    "run-task",
    "serve",
    "skip",
    "spans calibrate",
    "spans evaluate",
    "spans noise",
    "spans train",
    "status",
    "submit",
    "ui",
    "watch",
]
COMMON = {"--home", "--config", "--set", "--store", "--endpoint-url", "--tracking-uri", "--ledger"}


def leaves(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= leaves(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


def test_the_commands_are_those_that_are_promised() -> None:
    assert sorted(leaves(cli)) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_common_options(name: str) -> None:
    command = leaves(cli)[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {*COMMON, "--verbose"} <= options
    assert command.help


class TestErrors:
    @pytest.fixture
    def failing(self, monkeypatch: pytest.MonkeyPatch):
        def fail_with(error: BaseException) -> None:
            def broken(*_: object, **__: object) -> None:
                raise error

            monkeypatch.setattr(status_command, "print_json", broken)

        return fail_with

    def run(self, home: Path, *more: str) -> int:
        return main(["status", "--json", "--home", str(home), *more])

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (errors.ConfigurationError("a"), 2),
            (errors.NotFoundError("a"), 3),
            (errors.DataError("a"), 65),
            (errors.BatchRejected("too_few_rows", "a"), 65),
            (errors.LeaseLost("a"), 73),
            (errors.StateError("a"), 74),
            (errors.StoreUnavailable("a"), 75),
            (errors.LedgerUnavailable("a"), 75),
            (errors.TrackingUnavailable("a"), 75),
            (errors.CfcreError("a"), 1),
            (ZeroDivisionError("a"), 70),
            (KeyboardInterrupt(), 130),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_the_exit_code_says_what_happened(self, error, code, failing, tmp_path, capsys) -> None:
        failing(error)
        assert self.run(tmp_path) == code
        said = capsys.readouterr()
        assert said.out == ""
        # On Ctrl-C, click itself first leaves the line on which "^C" stands.
        assert said.err.strip().count("\n") == 0
        assert said.err.lstrip().startswith("cfcre: ")
        assert "Traceback" not in said.err

    def test_only_a_retryable_error_says_that_a_retry_helps(
        self, failing, tmp_path, capsys
    ) -> None:
        failing(errors.StoreUnavailable("the store is away"))
        self.run(tmp_path)
        assert "trying again" in capsys.readouterr().err
        failing(errors.StateError("the state is damaged"))
        self.run(tmp_path)
        assert "trying again" not in capsys.readouterr().err

    def test_verbose_adds_the_trace(self, failing, tmp_path, capsys) -> None:
        failing(errors.StateError("the state\nis damaged"))
        assert self.run(tmp_path, "--verbose") == 74
        said = capsys.readouterr().err
        assert "Traceback" in said
        assert said.splitlines()[-1] == "cfcre: error: the state is damaged"

    def test_a_bug_says_how_to_get_the_trace(self, failing, tmp_path, capsys) -> None:
        failing(ZeroDivisionError("division by zero"))
        assert self.run(tmp_path) == 70
        said = capsys.readouterr().err
        assert "bug" in said
        assert "--verbose" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["status", "--set", "method.learnig_rate=1"], 2, "method.learnig_rate"),
        (["status", "--set", "seed"], 2, "section.key=value"),
        (["status", "--config", "missing.yaml"], 2, "missing.yaml"),
        (["status", "--store", "gopher://x"], 0, ""),
        (["submit", "missing.jsonl", "--stream", "s"], 2, "missing.jsonl"),
        (["submit", "missing.jsonl"], 2, "--stream"),
        (["watch"], 2, "--until-idle"),
        (["watch", "--once", "--until-idle"], 2, "--until-idle"),
        (["watch", "--once", "--store", "gopher://x"], 2, "gopher"),
        (["predict"], 2, "TEXT"),
        (["predict", "[a] wrote {b}"], 3, "no champion"),
        (["predict", "a wrote b"], 2, "head"),
        (["quarantine", "show", "abcdef"], 3, "abcdef"),
        (["retry", "abcdef"], 3, "abcdef"),
        (["skip", "abcdef"], 3, "abcdef"),
        (["rollback", "--reason", "r"], 3, "roll back"),
        (["promote", "1", "--reason", "r"], 3, "version"),
        (["promote", "1"], 2, "--reason"),
        (["status", "--ledger", "mysql://u:hidden@h/db"], 2, "ledger"),
        (["models", "--tracking-uri", "./mlruns"], 2, "mlruns"),
        (["nonsense"], 2, "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_a_user_may_get_wrong(arguments, code, says, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    said = capsys.readouterr()
    assert says in said.err
    assert "hidden" not in said.err + said.out
    assert "Traceback" not in said.err


class TestConfigShow:
    def shown(self, capsys, *arguments: str) -> str:
        assert main(["config", "show", *arguments]) == 0
        out: str = capsys.readouterr().out
        return out

    def test_it_is_a_configuration_with_every_default(self, tmp_path, capsys) -> None:
        text = self.shown(capsys, "--home", str(tmp_path))
        expected = Settings().model_dump(mode="json")
        del expected["home"]
        assert yaml.safe_load(text) == expected

    def test_what_it_prints_can_be_read_back(self, tmp_path, capsys) -> None:
        changed = ["--set", "method.alpha=0.25", "--set", "seed=5"]
        text = self.shown(capsys, "--home", str(tmp_path), *changed)
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        assert self.shown(capsys, "--home", str(tmp_path)) == text
        assert yaml.safe_load(text)["method"]["alpha"] == 0.25

    def test_every_description_is_there(self, tmp_path, capsys) -> None:
        text = self.shown(capsys, "--home", str(tmp_path))
        for section in Settings.model_fields.values():
            fields = getattr(section.annotation, "model_fields", {})
            for field in fields.values():
                assert field.description is None or f"# {field.description}" in text

    def test_a_password_is_not_shown(self, tmp_path, capsys) -> None:
        url = "postgresql://user:pa55w0rd@host/db"
        text = self.shown(capsys, "--home", str(tmp_path), "--ledger", url, "--tracking-uri", url)
        assert "pa55w0rd" not in text
        assert "postgresql://user:***@host/db" in text


def test_status_of_a_new_home(tmp_path, capsys) -> None:
    assert main(["status", "--json", "--home", str(tmp_path / "home")]) == 0
    assert json.loads(capsys.readouterr().out) == {"streams": []}


def test_status_shows_what_waits_for_what(tmp_path, relation_rows, capsys) -> None:
    home = ["--home", str(tmp_path / "home")]
    for number, relations in ((2, ["founded"]), (3, ["owns"])):
        file = tmp_path / f"b{number}.jsonl"
        rows = relation_rows(relations, 12, seed=number)
        file.write_text("".join(json.dumps(r.to_json()) + "\n" for r in rows))
        submit = ["submit", str(file), "--stream", "news", "--sequence", str(number)]
        assert main([*submit, *home]) == 0
    # Sequence 1 is missing: nothing can run, and nothing waits for ever.
    assert main(["watch", "--until-idle", *home]) == 0
    assert "2 batches wait" in capsys.readouterr().out
    assert main(["status", "--json", *home]) == 0
    (stream,) = json.loads(capsys.readouterr().out)["streams"]
    assert [(p["sequence"], p["why"]) for p in stream["pending"]] == [
        (2, "waiting for sequence 1"),
        (3, "waiting for sequence 1"),
    ]
    assert main(["status", *home]) == 0
    assert "waiting for sequence 1" in capsys.readouterr().out


def test_submit_twice_is_one_batch(tmp_path, relation_rows, capsys) -> None:
    file = tmp_path / "rows.jsonl"
    rows = relation_rows(["founded", "owns"], 12)
    file.write_text("".join(json.dumps(r.to_json()) + "\n" for r in rows))
    command = ["submit", f"{file}@train", "--stream", "news", "--home", str(tmp_path / "home")]
    assert main(command) == 0
    assert "24 rows" in capsys.readouterr().out
    assert main(command) == 0
    assert "submitted to 'news' before" in capsys.readouterr().out
    manifests = list((tmp_path / "home/store/inbox").rglob("manifest.json"))
    assert len(manifests) == 1
