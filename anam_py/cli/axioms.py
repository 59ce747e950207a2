"""``anam axioms``: the catalogue, and what it says of axioms, of a text and of a described action."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

import anam_py
from anam_py.cli import output
from anam_py.cli.axiom_table import write_table
from anam_py.cli.location import json_option, typed
from anam_py.cli.rows import visible

if TYPE_CHECKING:
    from anam_py.axioms import Axiom, Catalogue

__all__ = ["axioms"]

NOT_VALID = 1

catalogue_option = click.option(
    "--catalogue", type=click.Path(path_type=Path), help="A catalogue of your own, instead of the built-in one."
)
context_option = click.option("--context", multiple=True, metavar="ID", help="An axiom in force; repeatable.")
ids_argument = click.argument("ids", metavar="ID...", nargs=-1, required=True)


@click.group()
def axioms() -> None:
    """Ask the axioms.

    An axiom is named by identifier or symbol, as AX_NO_HARM, Λ11 or L11, in any case. Exit status: 0 when valid or allowed,
    1 when not, 2 for an error.
    """


@axioms.command("list")
@catalogue_option
@json_option
def list_(catalogue: Path | None, *, as_json: bool) -> None:
    """List the axioms."""
    validator = _validator(catalogue)
    entries = validator.catalogue.axioms
    if as_json:
        _write_json(validator.catalogue, axioms=[_head(axiom) for axiom in entries])
    else:
        rows = [(axiom.symbol, axiom.id, axiom.name, axiom.category, f"{axiom.weight:g}") for axiom in entries]
        write_table(("symbol", "axiom", "name", "category", "weight"), rows)


@axioms.command()
@click.argument("name", metavar="ID")
@catalogue_option
@json_option
def show(name: str, catalogue: Path | None, *, as_json: bool) -> None:
    """Show an axiom: what it says, and which others it supports or is in tension with."""
    validator = _validator(catalogue)
    axiom = validator.catalogue.find(typed(name))
    if as_json:
        relations = {"supports": dict(axiom.supports), "tensions": dict(axiom.tensions)}
        _write_json(validator.catalogue, **_head(axiom), statement=axiom.statement, keywords=list(axiom.keywords), **relations)
        return
    click.echo(f"{axiom.symbol} {axiom.id}: {visible(axiom.name)} ({visible(axiom.category)}, weight {axiom.weight:g})")
    click.echo(visible(axiom.statement))
    click.echo(f"Keywords: {visible(', '.join(axiom.keywords))}")
    related = [("supports", other, strength) for other, strength in axiom.supports.items()]
    related += [("tension", other, strength) for other, strength in axiom.tensions.items()]
    if related:
        click.echo()
        write_table(("relation", "axiom", "strength"), [(kind, other, f"{strength:g}") for kind, other, strength in related])


@axioms.command()
@ids_argument
@context_option
@catalogue_option
@json_option
def validate(ids: tuple[str, ...], context: tuple[str, ...], catalogue: Path | None, *, as_json: bool) -> NoReturn:
    """Say whether axioms fit each other, and those in force.

    Exits with status 1 if they do not.
    """
    validator = _validator(catalogue)
    result = validator.validate_batch(*_named(ids, context))
    valid = result["batch_valid"]
    if as_json:
        _write_json(validator.catalogue, **result)
    else:
        rows = [
            (
                name,
                _said(valid=each["is_valid"]),
                f"{each['resonance_score']:.3f}",
                f"{each['ethical_tension']:.3f}",
                _pairs(each["conflicts"]) or "none",
            )
            for name, each in result["results"].items()
        ]
        write_table(("axiom", "verdict", "resonance", "tension", "conflicts with"), rows)
        click.echo(f"\nTogether: resonance {result['overall_resonance']:.3f}, tension {result['overall_tension']:.3f}.")
        _write_verdict(_said(valid=valid), result["determining"], good=valid)
    _exit(good=valid)


@axioms.command()
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=5, show_default=True, help="How many axioms to show at most.")
@catalogue_option
@json_option
def recommend(words: tuple[str, ...], limit: int, catalogue: Path | None, *, as_json: bool) -> NoReturn:
    """Show the axioms that TEXT is about.

    Exits with status 1 if there are none.
    """
    text = " ".join(map(typed, words))
    validator = _validator(catalogue)
    found = [validator.catalogue.find(name) for name in validator.recommend_axioms(text, limit=limit)]
    if as_json:
        _write_json(validator.catalogue, text=text, axioms=[_head(axiom) for axiom in found])
    elif found:
        write_table(("symbol", "axiom", "statement"), [(axiom.symbol, axiom.id, axiom.statement) for axiom in found])
    else:
        click.echo("no axiom has these words", err=True)
    _exit(good=bool(found))


@axioms.command()
@ids_argument
@context_option
@catalogue_option
@json_option
def tension(ids: tuple[str, ...], context: tuple[str, ...], catalogue: Path | None, *, as_json: bool) -> NoReturn:
    """Show the tension of axioms against those in force.

    Exits with status 1 if it is more than is allowed.
    """
    if not context:
        raise click.UsageError("name the axioms in force with --context")
    validator = _validator(catalogue)
    proposed, in_force = _named(ids, context)
    value = validator.calculate_tension(proposed, in_force)
    explanation = validator.explain(proposed, in_force)
    known = set(explanation.context)
    strained = [pair for pair in explanation.pairs if pair.tension and (pair.axiom in known or pair.other in known)]
    strained.sort(key=lambda pair: -pair.tension)
    if as_json:
        pairs = [{"axiom": pair.axiom, "other": pair.other, "tension": pair.tension} for pair in strained]
        _write_json(validator.catalogue, tension=value, max_tension=explanation.max_tension, pairs=pairs)
    else:
        if strained:
            write_table(("axiom", "against", "tension"), [(pair.axiom, pair.other, f"{pair.tension:g}") for pair in strained])
        click.echo(f"tension {value:.3f}, at most {explanation.max_tension} is allowed")
    _exit(good=value <= explanation.max_tension)


@axioms.command()
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@catalogue_option
@json_option
def assess(words: tuple[str, ...], catalogue: Path | None, *, as_json: bool) -> NoReturn:
    """Judge the action that TEXT describes, by its words.

    Exits with status 1 if it is refused. What it goes by is words and phrases; it understands nothing.
    """
    text = " ".join(map(typed, words))
    validator = _validator(catalogue)
    assessment = validator.assess(text)
    if as_json:
        _write_json(validator.catalogue, text=text, **assessment.as_dict())
        _exit(good=assessment.allowed)
    rows = [
        (
            kind,
            finding.axiom_id,
            f"{finding.strength:.2f}",
            f"{finding.tension:.3f}" if kind == "strains" else "",
            "; ".join(map(str, finding.said)) + ("".join(f"; but: {one}" for one in finding.relieved)),
        )
        for kind, findings in (("strains", assessment.strains), ("upholds", assessment.upholds))
        for finding in findings
    ]
    if rows:
        write_table(("", "axiom", "strength", "tension", "words"), rows)
        click.echo()
    else:
        click.echo("None of its words speaks clearly of an axiom.")
    verdict = click.style(assessment.verdict, "green" if assessment.allowed else "red")
    click.echo(f"{verdict}: tension {assessment.tension:.3f}, at most {assessment.max_tension} is allowed")
    _exit(good=assessment.allowed)


@axioms.command("map")
@click.option(
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.svg",
    help="Where to draw it.",
)
@catalogue_option
@json_option
def map_(target: Path, catalogue: Path | None, *, as_json: bool) -> None:
    """Draw the relations between the axioms.

    Needs matplotlib: pip install "anam_py[plot]"
    """
    start = time.perf_counter()
    from anam_py.cli.axiom_map import draw  # noqa: PLC0415 - nothing else needs matplotlib

    validator = _validator(catalogue)
    entries = validator.catalogue.axioms
    draw(validator.catalogue, target)
    supports = sum(len(axiom.supports) for axiom in entries) // 2
    tensions = sum(len(axiom.tensions) for axiom in entries) // 2
    if as_json:
        _write_json(validator.catalogue, file=str(target.resolve()), axioms=len(entries), supports=supports, tensions=tensions)
    else:
        seconds = time.perf_counter() - start
        drawn = f"{len(entries)} axioms, {supports} supports and {tensions} tensions"
        click.echo(f"Drew {drawn} to {visible(str(target))} ({seconds:.1f} s).")


def _validator(catalogue: Path | None) -> "anam_py.AxiomValidator":
    return anam_py.AxiomValidator() if catalogue is None else anam_py.AxiomValidator.from_file(catalogue)


def _named(ids: Sequence[str], context: Sequence[str]) -> tuple[list[str], list[str]]:
    return [*map(typed, ids)], [*map(typed, context)]


def _head(axiom: "Axiom") -> dict[str, Any]:
    head = {"axiom_id": axiom.id, "symbol": axiom.symbol, "name": axiom.name}
    return {**head, "category": axiom.category, "weight": axiom.weight}


def _said(*, valid: bool) -> str:
    return "valid" if valid else "not valid"


def _pairs(conflicts: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{other} {strength:g}" for other, strength in conflicts)


def _write_verdict(verdict: str, determining: Sequence[tuple[str, str, float]], *, good: bool) -> None:
    decided = ", ".join(f"{axiom} and {other} ({relation:+g})" for axiom, other, relation in determining)
    click.echo(f"{click.style(verdict, 'green' if good else 'red')}{f': {decided}' if decided else ''}")


def _write_json(catalogue: "Catalogue", **content: Any) -> None:
    output.write_json({"catalogue": {"version": catalogue.version, "digest": catalogue.digest}, **content})


def _exit(*, good: bool) -> NoReturn:
    click.get_current_context().exit(0 if good else NOT_VALID)
