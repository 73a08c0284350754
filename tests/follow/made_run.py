"""Events of a synthetic run: areas with all their stages, in the format of a real record."""

PER_AREA = {
    "search": 1,
    "shards_4": 1,
    "download": 4,
    "scenes": 4,
    "stats": 1,
    "stretch": 1,
    "utm": 1,
    "mosaic": 1,
    "chips": 4,
    "pairs": 1,
}
JOINT = ("dataset", "train", "evaluate", "report")
START = 1_000_000.0


def begin(**more):
    event = {"event": "begin", "time": START, "host": "node7", "pid": 4, "folder": "/run"}
    return event | {"known": {}} | more


def plan(areas, done=()):
    """Return every job of some areas; rules in ``done`` are up to date."""
    jobs = [
        (rule, {"aoi": area} | ({"shard": f"{n:04d}"} if count > 1 else {}), rule not in done)
        for area in areas
        for rule, count in PER_AREA.items()
        for n in range(count)
    ]
    jobs += [(rule, {}, rule not in done) for rule in JOINT] + [("all", {}, True)]
    return {"event": "plan", "time": START, "jobs": jobs}


def start(job, stage, area="", at=0.0, log="", says=""):
    says = says or f"{area or 'All'}: {stage}"
    found = {"event": "start", "time": START + at, "job": job, "stage": stage, "area": area}
    return found | {"says": says, "log": log}


def finish(job, at):
    return {"event": "finish", "time": START + at, "job": job}


def error(job, sentence, at):
    return {"event": "error", "time": START + at, "job": job, "sentence": sentence}
