"""Attacking chosen runs harder: which way is asked, with its cost; the worker is asked for it; scores stay until it is done."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from app.tui.followup.ways import Offered, Ways
from app.tui.shell.page import Page
from app.tui.shell.steering import start_worker
from app.tui.widgets.dialogs import Confirm, Item, Picker, Prompt
from core.errors import BadInput, InnateError
from core.names import NORM_SIGNS, short_id
from storage.changes import Attacked, Climb, Queued

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.harder import Target, Way
    from app.tui.shell.session import Session

_ANY, _RADII = "any", "radii"
_LONG = 180
"""Letters of a command that a dialog has room for; the whole of it is told once it is done."""
_MOST_NAMED = 20
"""Runs that an equivalent command names."""
_NO_WORKER = """It is queued, but no worker is running, so it waits.

Start one now? It goes on when you leave (innate worker start)."""


def ask_harder(page: Page, study: str, trials: Sequence[str]) -> None:
    """Ask on `page` how to attack these trials of `study` harder, and have that queued. Which are not trained is told."""
    if not trials:
        page.say("no run is chosen, so there is nothing to attack")
    elif page.may_change():
        session, chosen = page.session, tuple(trials)

        def offered(db: Database) -> tuple[Target, list[Way], int]:
            from app.report.harder import target_of, ways

            target = target_of(db, study, chosen)
            return target, ways(db, target), slots_of(session)

        page.ask(offered, lambda answer: _choose(page, *answer))


def harder_command(study: str, trials: Sequence[str]) -> str:
    """The first way that is offered, from the command line."""
    return f"innate attack {' '.join(map(short_id, trials[:_MOST_NAMED]))} --escalate --study {shlex.quote(study)}"


def slots_of(session: Session) -> int:
    """Room for how many trials at once: the worker's, else that of one started now."""
    from app.worker.devices import cores, resolve_slots

    if session.worker is not None and session.worker.alive and session.worker.slots:
        return len(session.worker.slots)
    try:
        return len(resolve_slots((), None, None))
    except InnateError:  # a device that is there but cannot be used now
        return cores()


def _choose(page: Page, target: Target, found: Sequence[Way], slots: int) -> None:
    from app.report.attack_cost import cost_text

    radii = ", ".join(f"{eps:g}" for eps in target.radii)
    norm = NORM_SIGNS[target.threat.norm]
    offered = [Offered(way, way.name, cost_text(way.cost, slots), way.about, shortened(way.command)) for way in found]
    offered[-2:-2] = [
        Offered(_ANY, "another attack …", "any, with its options", "Choose any attack, then its options and ε."),
        Offered(
            _RADII,
            "more ε …",
            f"{norm} {radii} so far",
            f"The study's strongest attack, {target.strongest.name}, at other ε. Single-ε scores and curve areas keep to the "
            "study's own ε.",
        ),
    ]
    absent = target.asked - len(target.trials)
    left_out = f"{absent} of {target.asked} are not trained yet, and left out" if absent else ""

    def chosen(value: Any) -> None:
        if value == _ANY:
            _ask_attack(page, target, slots)
        elif value == _RADII:
            _ask_radii(page, target, slots)
        elif value is not None:
            queue(page, target.study, value)

    page.push(Ways(f"Attack harder: {_runs(len(target.trials))} of {target.study}", offered, left_out=left_out), chosen)


def shortened(command: str) -> str:
    """A command in which many ids are not to fill the screen."""
    if len(command) <= _LONG:
        return command
    words = command.split()
    ids = [word for word in words[2:] if not word.startswith("--")]
    flags = words[next((place for place, word in enumerate(words) if word.startswith("--")), len(words)) :]
    return " ".join([*words[:2], *ids[:2], "…", *flags])


def _ask_attack(page: Page, target: Target, slots: int) -> None:
    from core.attacks import ATTACKS

    items = [Item(name, name, entry.summary) for name, entry in ATTACKS.items()]

    def picked(name: str | None) -> None:
        if name is not None:
            entry = ATTACKS[name]
            known = [f"{one.name} ({one.default})" for one in entry.parameters]
            radii = "" if entry.minimum_norm else f"eps={','.join(map(repr, target.radii))}"  # exactly the study's
            hint = "such as steps=100; options: " + ", ".join([*known, f"norm ({target.threat.norm})", "seed (0)"])
            check = partial(_wrong, lambda text: options_of(target, name, text))
            page.push(
                Prompt(f"{name}: with which options", radii, hint=hint, check=check),
                lambda text: (
                    None if text is None else _confirm(page, target, slots, name, options_of(target, name, text))
                ),
            )

    page.push(Picker("Attack with", items), picked)


def options_of(target: Target, name: str, text: str) -> dict[str, Any]:
    """What was typed, "steps=100 eps=0.1,8/255", as options of an attack. Raises BadInput for what is wrong with them."""
    from app.report.harder import attack_options
    from core.study.resolve import apply_overrides

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(f"{text}: {error}") from None
    stray = next((word for word in words if not word.partition("=")[2]), None)
    if stray is not None:
        raise BadInput(f"{stray}: write KEY=VALUE, such as steps=100")
    radii = {word[4:] for word in words if word.startswith("eps=")}
    options = apply_overrides({}, [word for word in words if not word.startswith("eps=")])
    if radii:
        options["eps"] = _radii(radii.pop())
    attack_options(target, name, options)
    return options


def _radii(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _ask_radii(page: Page, target: Target, slots: int) -> None:
    from app.report.harder import attack_options, more_radii

    def typed(text: str) -> tuple[str, dict[str, Any]]:
        name, options = more_radii(target, _radii(text))
        attack_options(target, name, options)
        return name, options

    so_far = ", ".join(f"{eps:g}" for eps in target.strongest.eps)
    had = f"; {target.strongest.name} had {so_far}" if target.usual else ""
    hint = f"ε in {NORM_SIGNS[target.threat.norm]}, such as 0.05 or 8/255, several with commas{had}"
    page.push(
        Prompt("At which ε", hint=hint, check=partial(_wrong, typed)),
        lambda text: None if text is None else _confirm(page, target, slots, *typed(text)),
    )


def _wrong(read: Callable[[str], object], text: str) -> str | None:
    """What is wrong with what is typed, None if nothing is."""
    try:
        read(text)
    except BadInput as error:
        return str(error)
    return None


def _confirm(page: Page, target: Target, slots: int, name: str, options: Mapping[str, Any]) -> None:
    def asked(db: Database) -> Way:
        from app.report.harder import attack

        return attack(db, target, name, options)

    def sure(way: Way) -> None:
        from app.report.attack_cost import cost_text

        runs, cost = _runs(len(target.trials)), cost_text(way.cost, slots)
        question = f"{way.name} on {runs} of {target.study}?\n\n{way.about}\n\n{cost}\n≡ {shortened(way.command)}"
        page.push(Confirm(question), lambda yes: queue(page, target.study, way) if yes else None)

    page.ask(asked, sure)


def queue(page: Page, study: str, way: Way) -> None:
    """Ask the worker for it, of models of `study`; where none runs, offer to start one."""
    if way.cost.trials == 0:
        page.say(f"{way.name}: nothing is missing of that")
        return

    def told(answer: Climb | Attacked | Queued) -> str:
        count, words = _told(way, answer)
        worker = page.session.worker
        if worker is None or not worker.alive:
            if count and page.is_current:
                page.push(Confirm(_NO_WORKER), lambda yes: start_worker(page) if yes else None)
        elif count and worker.state == "paused":
            words += "; the queue is paused"
        elif count and worker.study not in (None, study):
            words += f"; innate run is at {worker.study} until that is done"
        return words

    page.steer(way.change, told, way.command)


def _told(way: Way, answer: Climb | Attacked | Queued) -> tuple[int, str]:
    """(on how many runs, in words) what was queued."""
    if isinstance(answer, Climb):
        count, told = (
            len(answer.rungs),
            f"escalating {_runs(len(answer.rungs))}; each rung of {answer.of} follows by itself",
        )
        return count, told if count else "escalate: nothing is left to climb"
    count = answer.missing if isinstance(answer, Attacked) else answer.trials
    told = f"queued {_runs(count)}: {way.name}; scores stay until it is done"
    return count, told if count else f"{way.name}: nothing is missing"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"
