"""State of a run, computed from its events: jobs by area and stage, failures, time left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from witw.spec import STAGES

# Several stages share a column, to fit a screen of 80 characters.
COLUMNS = {
    "search": ("search", "shards"),
    "photos": ("download",),
    "scenes": ("scenes",),
    "imagery": ("stats", "stretch", "rgb8", "utm", "mosaic"),
    "chips": ("chips",),
    "pairs": ("pairs",),
}
COLUMN_OF = {stage: name for name, stages in COLUMNS.items() for stage in stages}


@dataclass(frozen=True)
class Job:
    """A running job.

    Attributes:
        stage: Name of its rule, without the number of shards.
        area: Its area; empty for a joint stage.
        says: Its message to the user.
        log: Its log file, or empty.
        began: Time when it was started or submitted [s since 1970].
    """

    stage: str
    area: str
    says: str
    log: str
    began: float


@dataclass(frozen=True)
class Failure:
    """A job that failed and has not been retried yet.

    Attributes:
        job: The job.
        sentence: Its error message.
    """

    job: Job
    sentence: str


@dataclass
class Tally:
    """Job counts of one area and stage.

    Attributes:
        total: All jobs, including those already up to date before the run.
        done: Jobs that are up to date or were finished by the run.
        failed: Jobs that failed.
        running: Jobs that are running.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.total + other.total,
            self.done + other.done,
            self.failed + other.failed,
            self.running + other.running,
        )


@dataclass
class State:
    """State of a run, computed from its events; the screen and `witw status` share it.

    Attributes:
        host: Machine on which Snakemake runs.
        pid: Process id of Snakemake.
        began: Time of the first job [s since 1970].
        latest: Time of the latest event [s since 1970].
        total: Number of jobs of the run.
        done: Number of finished jobs.
        outcome: ``finished``, ``failed`` or ``stopped``; empty if the run is running or was killed.
        tallies: Job counts of each area and stage; the area of a joint stage is empty.
        running: Running jobs, by number.
        failed: Failures, by job number.
        is_planned: Whether the plan is known; otherwise areas and stages are added as jobs start.
    """

    host: str = ""
    pid: int = 0
    began: float = 0.0
    latest: float = 0.0
    total: int = 0
    done: int = 0
    outcome: str = ""
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    running: dict[int, Job] = field(default_factory=dict)
    failed: dict[int, Failure] = field(default_factory=dict)
    is_planned: bool = False
    _known: dict[str, float] = field(default_factory=dict)
    _spent: dict[str, list[float]] = field(default_factory=dict)
    _ended: dict[int, Job] = field(default_factory=dict)

    def apply(self, event: dict[str, Any]) -> None:
        """Update the state with one event of :mod:`witw.follow.events`."""
        self.latest = float(event.get("time", self.latest))
        handler = getattr(self, f"_on_{event.get('event')}", None)
        if handler:
            handler(event)

    def _on_begin(self, event: dict[str, Any]) -> None:
        self.host, self.pid, self.began = event["host"], event["pid"], event["time"]
        self._known = dict(event["known"])

    def _on_plan(self, event: dict[str, Any]) -> None:
        self.is_planned = True
        for rule, wildcards, is_to_run in event["jobs"]:
            if rule == "all":
                continue
            tally = self._tally(area_of(wildcards), stage_of(rule))
            tally.total += 1
            tally.done += not is_to_run
            self.total += is_to_run

    def _on_start(self, event: dict[str, Any]) -> None:
        job = Job(event["stage"], event["area"], event["says"], event["log"], event["time"])
        before = self.failed.pop(event["job"], None)
        if before:  # retried
            self._tally(job.area, job.stage).failed -= 1
        self.running[event["job"]] = job
        tally = self._tally(job.area, job.stage)
        tally.running += 1
        tally.total += not self.is_planned and before is None

    def _no_longer_running(self, event: dict[str, Any]) -> Job | None:
        """Remove the job that an event ends and return it; None if it was not running."""
        job = self.running.pop(event["job"], None)
        if job is not None:
            self._tally(job.area, job.stage).running -= 1
        return job

    def _on_finish(self, event: dict[str, Any]) -> None:
        job = self._no_longer_running(event)
        if job is None:
            return
        self._tally(job.area, job.stage).done += 1
        self.done += self.is_planned
        self._spent.setdefault(job.stage, []).append(event["time"] - job.began)

    def _on_error(self, event: dict[str, Any]) -> None:
        job = self._no_longer_running(event)
        if job is None:
            return
        self._tally(job.area, job.stage).failed += 1
        self.failed[event["job"]] = Failure(job, event["sentence"])

    def _on_progress(self, event: dict[str, Any]) -> None:
        if not self.is_planned:
            self.done, self.total = event["done"], event["total"]

    def _on_end(self, event: dict[str, Any]) -> None:
        self.outcome = event["outcome"]

    def _tally(self, area: str, stage: str) -> Tally:
        return self.tallies.setdefault((area, stage), Tally())

    def areas(self) -> list[str]:
        """Areas of the run, in planned order; joint stages are excluded."""
        return list(dict.fromkeys(area for area, _ in self.tallies if area))

    def column(self, area: str, name: str) -> Tally:
        """Return the job counts of an area in a column of :data:`COLUMNS`."""
        parts = (self.tallies.get((area, stage), Tally()) for stage in COLUMNS[name])
        return sum(parts, Tally())

    def later(self) -> dict[str, Tally]:
        """Return the job counts of stages without a column, in the order of the flow."""
        found: dict[str, Tally] = {}
        for (_, stage), tally in self.tallies.items():
            if stage not in COLUMN_OF:
                found[stage] = found.get(stage, Tally()) + tally
        order = {stage: number for number, stage in enumerate(STAGES)}
        return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))

    def durations(self) -> dict[str, float]:
        """Return the mean job duration of each stage [s]: this run's, else an earlier run's."""
        means = {stage: sum(spent) / len(spent) for stage, spent in self._spent.items()}
        return self._known | means

    def left(self, now: float) -> tuple[float | None, list[str]]:
        """Return the time left [s] and the stages without any timed job.

        The estimate multiplies each stage's mean duration by its remaining jobs and divides by the
        mean parallelism so far. It is None until a job has been timed.
        """
        means, remaining = self.durations(), Counter[str]()
        for (_, stage), tally in self.tallies.items():
            remaining[stage] += tally.total - tally.done - tally.failed
        unknown = [stage for stage, count in remaining.items() if count and stage not in means]
        work = sum(count * means.get(stage, 0.0) for stage, count in remaining.items())
        under_way = [(now - job.began, means.get(job.stage, 0.0)) for job in self.running.values()]
        work -= sum(min(spent, mean) for spent, mean in under_way)
        elapsed = max(1e-9, now - self.began)
        busy = sum(map(sum, self._spent.values())) + sum(spent for spent, _ in under_way)
        if not means:
            return None, unknown
        return max(0.0, work) / max(1.0, busy / elapsed), unknown


def stage_of(rule: str) -> str:
    """Return the stage of a rule, without its number of shards or its fold prefix."""
    return re.sub(r"^loo_|_\d+$", "", rule)


def area_of(wildcards: dict[str, str]) -> str:
    """Return the area of a job; '' for a joint stage and for a fold."""
    return "" if "fold" in wildcards else wildcards.get("aoi", "")


def replay(events: Iterable[dict[str, Any]]) -> State:
    """Return the state after the given events."""
    state = State()
    for event in events:
        state.apply(event)
    return state
