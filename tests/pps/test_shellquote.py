"""Values in texts for the shell: whatever they hold, they are text and never code, in every shell that is there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfs.errors import InvalidInputError
from pps.spec.shellquote import Where, render_shell, shell_places
from pps.spec.template import TemplateError, parse_template

SHELLS = sorted({found for name in ("sh", "dash", "bash") if (found := shutil.which(name))})
SPECIAL = st.text(st.sampled_from("'\"\\$`()#;&|<>{}*?![]~-=% \t\nEOFab"), max_size=12)
VALUES = st.one_of(SPECIAL, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12))
FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PLACES = [
    ("printf '%s|' {{v}}", "{}|"),
    ("printf '%s|' x{{v}}y {{v}}", "x{}y|{}|"),
    ("printf '%s|' \"a {{v}} b\"", "a {} b|"),
    ("printf '%s|' 'a {{v}} b'", "a {} b|"),
    ("printf '%s|' {{v}}{{v}}\"{{v}}\"'{{v}}'", "{}{}{}{}|"),
    ("x={{v}}; printf '%s|' \"$x\"", "{}|"),
    ('x="{{v}}" # {{v}}\nprintf \'%s|\' "$x"', "{}|"),
    ("printf '%s|' \"$(printf '%s.' {{v}})\"", "{}.|"),
    ("printf '%s|' \"$(printf '%s.' \"{{v}}\")\"", "{}.|"),
    ("printf '%s|' \"$(printf '%s.' '{{v}}')\"", "{}.|"),
    ("printf '%s|' \"$( (printf '%s.' \"$(printf '%s.' {{v}})\") )\"", "{}..|"),
    ("cat <<EOF\n<{{v}}>\nEOF\n", "<{}>\n"),
    ("cat <<-EOF | cat\n\t{{v}}\n\tEOF\nprintf '%s|' {{v}}", "{}\n{}|"),
    ("printf '%s|' {{v}} 2>&1; (printf '%s|' {{v}} 2>&-)", "{}|{}|"),
    ("(printf '%s|' {{v}}) # it's {{v}}\nprintf '%s|' {{v}}", "{}|{}|"),
    ("case {{v}} in\n'') printf '|' ;;\n*) printf '%s|' {{v}} ;;\nesac", "{}|"),
    ("a=\"${HOME:-x}\"; printf '%s|' {{v}} # ${", "{}|"),
]


def _sh(shell: str, text: str, cwd: Path | None = None) -> bytes:
    done = subprocess.run([shell, "-c", text], capture_output=True, cwd=cwd, stdin=subprocess.DEVNULL, timeout=60)
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@given(value=VALUES)
@settings(max_examples=40, deadline=None)
def test_a_value_arrives_as_it_is_wherever_it_stands(shell: str, value: str) -> None:
    script = "\n".join(render_shell(parse_template(text), lambda _: value) + "\nprintf '\\0'" for text, _ in PLACES)
    assert _sh(shell, script).decode().split("\0")[:-1] == [expected.replace("{}", value) for _, expected in PLACES]


TOKENS = [
    *("'", '"', "\\", "$", "`", "(", ")", "$(", "$((", "))", "${", "}", "${a}", "${a:-b}", "#", "a", "x=", " ", "\n"),
    *("<<EOF", "<<-EOF", "<<'EOF'", "<<\\EOF", "EOF", "\nEOF\n", "<<<", "<", ">", "case a in a) ", "esac", ";", "|"),
    *(
        "&",
        "echo ",
        "{",
        "[",
        "]",
        "=",
        "!",
        "*",
        "\t",
        "\\\n",
        "$'",
        '$"',
        "((",
        ">&",
        "<&",
        "; echo ",
        " && ",
        "cat <<EOF\n",
    ),
]
CANARY = "canary"
TOUCH = f"printf x >{CANARY}"
ATTACKS = [
    *(
        f"$({TOUCH})",
        f"`{TOUCH}`",
        f"'; {TOUCH}; '",
        f'"; {TOUCH}; "',
        f"; {TOUCH}",
        f"\n{TOUCH}\n",
        f"\nEOF\n{TOUCH}\n",
    ),
    *(f"EOF\n{TOUCH}\n", f"({TOUCH})", f"a[$({TOUCH})]", f"\\'; {TOUCH}; \\'", f"'$({TOUCH})'", f'"$({TOUCH})"', "EOF"),
    *(f") {TOUCH} ; (", f"}}; {TOUCH}", f"$'\\'; {TOUCH} '", f"'\n{TOUCH}\n'", f'"\n{TOUCH}\n"', f"| {TOUCH} #"),
]


def _attack(folder: Path, parts: list[str | None], value: str) -> None:
    text = "".join("{{v}}" if part is None else part.replace("{{", "{ {") for part in parts)
    try:
        rendered = render_shell(parse_template(text), lambda _: value)
    except TemplateError:
        return
    for shell in SHELLS:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            _sh(shell, rendered, Path(made))
            assert not (Path(made) / CANARY).exists(), (shell, text, rendered)


PARTS = st.lists(st.one_of(st.sampled_from(TOKENS), st.none(), st.none()), max_size=12).map(
    lambda found: [*found, None]
)


@given(parts=PARTS, value=st.sampled_from(ATTACKS))
@FEW
def test_no_value_is_run_in_any_text(tmp_path: Path, parts: list[str | None], value: str) -> None:
    _attack(tmp_path, parts, value)


@pytest.mark.long
@given(parts=PARTS, value=st.sampled_from(ATTACKS))
@settings(FEW, max_examples=5_000)
def test_no_value_is_run_in_very_many_texts(tmp_path: Path, parts: list[str | None], value: str) -> None:
    _attack(tmp_path, parts, value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("echo `echo {{v}}`", "`…`"),
        ("echo ${x:-{{v}}}", "${…}"),
        ("echo $(({{v}} + 1))", "arithmetic"),
        ("(( x = {{v}} ))", "arithmetic"),
        ("echo \\{{v}}", "a backslash"),
        ("echo >&{{v}}", "a >& without a number"),
        ("echo <& {{v}}", "a >& without a number"),
        ("echo 2>&1{{v}}", "a >& without a number"),
        ('echo "\\{{v}}"', "a backslash"),
        ("echo ${{v}}", "a dollar sign"),
        ('echo "${{v}}"', "a dollar sign"),
        ("echo $'a' {{v}}", "$'…'"),
        ("cat <<'EOF'\n{{v}}\nEOF", "a quoted delimiter"),
        ("cat <<EOF\n$(echo {{v}})\nEOF", "an expansion in a here document"),
        ("cat <<EOF\na\\\nEOF\n{{v}}", "ends in a backslash"),
        ("cat <<{{v}}", "a here document"),
        ('echo "$(case a in a) echo {{v}};; esac)"', "`case`"),
    ],
)
def test_a_place_where_no_value_is_safe_is_refused(text: str, what: str) -> None:
    with pytest.raises(TemplateError, match="no value is safe") as caught:
        shell_places(parse_template(text))
    assert what in str(caught.value)
    assert caught.value.offset == text.index("{{v}}")
    assert "{{v}}" in str(caught.value)


def test_places_are_told_in_order() -> None:
    found = shell_places(parse_template("a {{b}} \"{{c}}\" '{{d}}' # {{e}}\ncat <<F\n{{g}}\nF\n{{h}}"))
    assert found == (Where.BARE, Where.DOUBLE, Where.SINGLE, Where.COMMENT, Where.HERE, Where.BARE)


def test_a_value_with_a_nul_byte_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="NUL"):
        render_shell(parse_template("echo {{v}}"), lambda _: "a\0b")


def test_a_text_without_references_stays_as_it_is() -> None:
    assert render_shell(parse_template("echo `x` ${y:-'z'} {{{{"), lambda _: "") == "echo `x` ${y:-'z'} {{"
