"""Verdict of a search: complete, or how much may be missing and why."""

from __future__ import annotations

from witw.flickr.crawl.audit import Audit
from witw.flickr.crawl.ledger import Ledger
from witw.flickr.crawl.probes import WORDS, Probed

# Below this share of photos listed, another sweep is worth its calls.
GOOD = 0.999
# Totals waver by a few percent of what there is; more than this is missing, not wavering.
WAVER = 0.05
# Up to such a share of steps, what differs are single photos; where totals waver, most steps do.
FEW = 0.1
UNSEEN = (
    "No question shows photos that Flickr hides from every search: those that are private, not "
    "rated safe, or absent from its index."
)


def verdict(
    listed: int,
    ledger: Ledger,
    audit: Audit,
    unreachable: int,
    probed: Probed,
    strayed: int = 0,
    missing: int | None = None,
) -> tuple[str, list[str]]:
    """Judge a search.

    Args:
        listed: photos listed, the finds of audit and probes included.
        ledger: of all cells.
        audit: of the sweeps.
        unreachable: photos the service counts but does not let anyone list.
        probed: the questions that varied what the search held constant.
        strayed: answers that held photos which were not asked for.
        missing: photos counted but shown to nobody; default: as the ledger has it.

    Returns:
        ``complete``, ``nearly complete`` or ``incomplete``, and the reasons, a sentence each.
    """
    missing = ledger.missing if missing is None else missing
    most = max(0, round(audit.high * listed) - len(audit.unknown))
    reasons = [balance(ledger, missing), *_audited(audit, ledger, most), *_probed(probed)]
    if unreachable:
        reasons.append(f"{unreachable} photos are counted but can be listed by no question.")
    if strayed:
        reasons.append(
            f"{strayed} answers hold photos that were not asked for, so the service does not take "
            "boxes or licences exactly."
        )
    if not listed:
        reasons.append(_nothing(probed))
    reasons += [UNSEEN] if probed.calls else []
    is_counted = ledger.steps > 0 if listed else probed.is_alive
    is_varied = probed.calls > 0 and not probed.odd and (audit.shown > 0 or not listed)
    is_balanced = not unreachable and not ledger.unbalanced and not strayed
    if is_balanced and is_counted and is_varied and not audit.unknown:
        return "complete", reasons
    found = 1 - len(audit.unknown) / max(audit.shown, 1)
    if found < GOOD:
        reasons.append("A higher `search.sweeps` would find most of them.")
    # Where totals never say less than was shown, they can be believed when they say more.
    counted = not ledger.under or ledger.worst > WAVER * max(listed, 1)
    worst: float = unreachable + (most if audit.unknown else 0)
    worst += max(ledger.worst if counted else 0, missing)
    # Totals that waver say nothing about shares; photos shown do.
    waver = 0 if not ledger.unbalanced else WAVER
    worst = max(worst, probed.share * listed if probed.share > waver else 0, len(probed.unknown))
    if not listed and not probed.is_alive:
        return "incomplete", reasons
    return ("nearly complete" if worst <= 0.01 * max(listed, 1) else "incomplete"), reasons


def _audited(audit: Audit, ledger: Ledger, most: int) -> list[str]:
    """What the audit found, in a sentence."""
    if not audit.calls:
        return []
    seen = f"Of {audit.shown} photos shown in an audit ({audit.calls} random questions) "
    sure = (
        f"at 99 % confidence, if spread evenly, {audit.low:.3%} to {audit.high:.3%} of the "
        "photos that such questions show were missing"
    )
    if audit.unknown:
        now = f"{len(audit.unknown)} were unknown and are listed now: "
        return [f"{seen}{now}{sure}, so {most} at most still are."]
    return [f"{seen}none was unknown" + (f": {sure}." if ledger.unbalanced else ".")]


def _probed(probed: Probed) -> list[str]:
    """What the probes found, in a sentence or two."""
    if not probed.calls:
        return [
            "No other questions were asked (`search.audit` is 0), so photos that large boxes, "
            "lists of licences or an accuracy hide would not be noticed."
        ]
    asked = ", ".join(WORDS[kind] for kind in probed.kinds)
    reasons = [f"Asked otherwise ({probed.calls} questions: {asked}), Flickr shows and counts "]
    if probed.odd:
        reasons[0] += f"other photos (by {', '.join(WORDS[kind] for kind in probed.odd)})"
        if probed.unknown:
            now = f"{len(probed.unknown)} of the {probed.shown} photos shown were unknown"
            reasons[0] += f": {now} and are listed now"
        share = (
            f": by the worst kind, {probed.share:.2%} of all are missing." if probed.share else "."
        )
        reasons[0] += share if not probed.unknown else f"; {share[2:]}" if probed.share else "."
    else:
        reasons[0] += "the same photos."
    if probed.ignored:
        ids = ", ".join(map(str, probed.ignored))
        reasons.append(f"Asked for licence {ids} alone, Flickr ignores the licence.")
    return reasons


def _nothing(probed: Probed) -> str:
    if probed.is_alive:
        return "Nothing was found here, and Flickr shows photos elsewhere."
    return "Nothing was found, neither here nor elsewhere, so Flickr's index may be empty."


def balance(ledger: Ledger, missing: int = 0) -> str:
    """The account in a sentence, and what its failures look like.

    Args:
        ledger: of all cells.
        missing: photos that are counted but shown to nobody, by all steps together.
    """
    if not ledger.steps:
        return "There was nothing to compare: the service gives no totals, or no order."
    if not ledger.unbalanced:
        return f"Totals and photos shown agree at each of {ledger.steps} steps."
    sums = f" and {missing} in all" if missing else ""
    where = (
        f"Totals and photos shown differ at {ledger.unbalanced} of {ledger.steps} steps, by "
        f"{ledger.worst} at most{sums}: "
    )
    if ledger.unbalanced <= FEW * ledger.steps:
        # A photo that goes is first counted and then not shown, so a few tell nothing of which.
        or_not = "" if ledger.under else ", or are counted but shown to nobody"
        return f"{where}photos came or went during the search{or_not}."
    if not ledger.under:
        return where + "there are photos that are counted but shown to nobody."
    return where + "totals waver, or servers lag behind each other."
