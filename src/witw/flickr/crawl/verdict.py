"""Verdict of a search: complete, or how much may be missing and why."""

from __future__ import annotations

from witw.flickr.crawl.audit import Audit
from witw.flickr.crawl.ledger import Ledger

# Below this share of photos listed, another sweep is worth its calls.
GOOD = 0.999
# Totals waver by a few percent of what there is; more than this is missing, not wavering.
WAVER = 0.05
# Up to such a share of steps, what differs are single photos; where totals waver, most steps do.
FEW = 0.1


def verdict(listed: int, ledger: Ledger, audit: Audit, unreachable: int) -> tuple[str, list[str]]:
    """Judge a search.

    Args:
        listed: photos listed, the audit's finds included.
        ledger: of all cells.
        audit: of the sweeps.
        unreachable: photos the service counts but does not let anyone list.

    Returns:
        ``complete``, ``nearly complete`` or ``incomplete``, and the reasons, a sentence each.
    """
    reasons = [balance(ledger)]
    most = max(0, round(audit.high * listed) - len(audit.unknown))
    if audit.calls:
        seen = f"Of {audit.shown} photos shown in an audit ({audit.calls} random questions) "
        sure = (
            f"at 99 % confidence, if spread evenly, {audit.low:.3%} to {audit.high:.3%} of the "
            "photos were missing"
        )
        if audit.unknown:
            now = f"{len(audit.unknown)} were unknown and are listed now: "
            reasons.append(f"{seen}{now}{sure}, so {most} at most still are.")
        elif ledger.unbalanced:
            reasons.append(f"{seen}none was unknown: {sure}.")
        else:
            reasons.append(f"{seen}none was unknown.")
    if unreachable:
        reasons.append(f"{unreachable} photos are counted but can be listed by no question.")
    is_counted = ledger.steps > 0 or not listed
    if not unreachable and not ledger.unbalanced and not audit.unknown and is_counted:
        return "complete", reasons
    found = 1 - len(audit.unknown) / max(audit.shown, 1)
    if found < GOOD:
        reasons.append("A higher `search.sweeps` would find most of them.")
    # Where totals never say less than was shown, they can be believed when they say more.
    counted = not ledger.under or ledger.worst > WAVER * max(listed, 1)
    worst = unreachable + (most if audit.unknown else 0) + (ledger.worst if counted else 0)
    return ("nearly complete" if worst <= 0.01 * max(listed, 1) else "incomplete"), reasons


def balance(ledger: Ledger) -> str:
    """The account in a sentence, and what its failures look like."""
    if not ledger.steps:
        return "There was nothing to compare: the service gives no totals, or no order."
    if not ledger.unbalanced:
        return f"Totals and photos shown agree at each of {ledger.steps} steps."
    where = (
        f"Totals and photos shown differ at {ledger.unbalanced} of {ledger.steps} steps, by "
        f"{ledger.worst} at most: "
    )
    if ledger.unbalanced <= FEW * ledger.steps:
        # A photo that goes is first counted and then not shown, so a few tell nothing of which.
        or_not = "" if ledger.under else ", or are counted but shown to nobody"
        return f"{where}photos came or went during the search{or_not}."
    if not ledger.under:
        return where + "there are photos that are counted but shown to nobody."
    return where + "totals waver, or servers lag behind each other."
