"""Verdict of a search: complete, or how much may be missing and why."""

from __future__ import annotations

from witw.flickr.completeness.audit import Audit
from witw.flickr.completeness.probes import WORDS, Probed
from witw.flickr.crawl.ledger import Ledger

# Below this share of photos listed, another sweep is worth its calls.
GOOD = 0.999
# Totals waver by a few percent; a larger difference means missing photos.
WAVER = 0.05
# Up to this share of unbalanced steps, single photos explain them; wavering affects most steps.
FEW = 0.1
UNSEEN = (
    "No query shows photos that Flickr hides from every search: private photos, photos not rated "
    "safe, and photos absent from its index."
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
        listed: Number of photos listed, including those found by audit and probes.
        ledger: Ledger of all cells.
        audit: Audit of the sweeps.
        unreachable: Number of photos that the service counts but does not let anyone list.
        probed: Queries that varied what the search held constant.
        strayed: Number of responses with photos that do not match the query.
        missing: Number of photos counted but never shown; default: as in the ledger.

    Returns:
        ``complete``, ``nearly complete`` or ``incomplete``, and the reasons, one sentence each.
    """
    missing = ledger.missing if missing is None else missing
    most = max(0, round(audit.high * listed) - len(audit.unknown))
    reasons = [balance(ledger, missing), *_audited(audit, ledger, most), *_probed(probed)]
    if unreachable:
        reasons.append(f"{unreachable} photos are counted but no query can list them.")
    if strayed:
        reasons.append(
            f"{strayed} responses contain photos that do not match the query, so the service does "
            "not apply boxes or licences exactly."
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
    # Totals that never fall short of the photos shown are reliable when they exceed them.
    counted = not ledger.under or ledger.worst > WAVER * max(listed, 1)
    worst: float = unreachable + (most if audit.unknown else 0)
    worst += max(ledger.worst if counted else 0, missing)
    # Wavering totals do not measure a share; photos shown do.
    waver = 0 if not ledger.unbalanced else WAVER
    worst = max(worst, probed.share * listed if probed.share > waver else 0, len(probed.unknown))
    if not listed and not probed.is_alive:
        return "incomplete", reasons
    return ("nearly complete" if worst <= 0.01 * max(listed, 1) else "incomplete"), reasons


def _audited(audit: Audit, ledger: Ledger, most: int) -> list[str]:
    """Return a sentence with the audit's findings."""
    if not audit.calls:
        return []
    seen = f"Of {audit.shown} photos shown in an audit ({audit.calls} random queries) "
    sure = (
        f"at 99 % confidence, if spread evenly, {audit.low:.3%} to {audit.high:.3%} of the "
        "photos that such queries show were missing"
    )
    if audit.unknown:
        now = f"{len(audit.unknown)} were unknown and are listed now: "
        return [f"{seen}{now}{sure}, so at most {most} still are."]
    return [f"{seen}none was unknown" + (f": {sure}." if ledger.unbalanced else ".")]


def _probed(probed: Probed) -> list[str]:
    """Return one or two sentences with the probes' findings."""
    if not probed.calls:
        return [
            "No other queries were sent (`search.audit` is 0), so photos hidden by large boxes, "
            "lists of licences or an accuracy would not be noticed."
        ]
    asked = ", ".join(WORDS[kind] for kind in probed.kinds)
    reasons = [f"In {probed.calls} varied queries ({asked}), Flickr shows and counts "]
    if probed.odd:
        reasons[0] += f"other photos (by {', '.join(WORDS[kind] for kind in probed.odd)})"
        if probed.unknown:
            now = f"{len(probed.unknown)} of the {probed.shown} photos shown were unknown"
            reasons[0] += f": {now} and are listed now"
        share = (
            f": by the worst kind, {probed.share:.2%} of all photos are missing."
            if probed.share
            else "."
        )
        reasons[0] += share if not probed.unknown else f"; {share[2:]}" if probed.share else "."
    else:
        reasons[0] += "the same photos."
    if probed.ignored:
        ids = ", ".join(map(str, probed.ignored))
        reasons.append(f"Queried for licence {ids} alone, Flickr ignores the licence.")
    return reasons


def _nothing(probed: Probed) -> str:
    if probed.is_alive:
        return "Nothing was found here, but Flickr shows photos elsewhere."
    return "Nothing was found here or elsewhere, so Flickr's index may be empty."


def balance(ledger: Ledger, missing: int = 0) -> str:
    """Return the ledger's balance in a sentence, with the likely cause of a difference.

    Args:
        ledger: Ledger of all cells.
        missing: Number of photos counted but never shown, over all steps.
    """
    if not ledger.steps:
        return "Nothing could be compared: the service gives no totals or no order."
    if not ledger.unbalanced:
        return f"Totals and photos shown agree at each of {ledger.steps} steps."
    sums = f" and {missing} in total" if missing else ""
    where = (
        f"Totals and photos shown differ at {ledger.unbalanced} of {ledger.steps} steps, by "
        f"at most {ledger.worst} per step{sums}: "
    )
    if ledger.unbalanced <= FEW * ledger.steps:
        # A photo that vanishes is first counted and then not shown, so a few such photos prove
        # nothing.
        or_not = "" if ledger.under else ", or are counted but never shown"
        return f"{where}photos came or went during the search{or_not}."
    if not ledger.under:
        return where + "some photos are counted but never shown."
    return where + "totals waver, or replicas lag behind each other."
