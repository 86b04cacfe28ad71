"""Stage `claims`: what a paper claims, and whether the numbers of a scale's seeds bear it out."""

from tesserae.lineage.work import Work
from tesserae.reporting import claim_numbers, claims_files


def run(work: Work) -> dict[str, float]:
    """Writes claims.json, .md, .html, and metrics.json: verdicts and effects, for DVC.

    What the spec says, and what is read: reporting/claim_numbers.py.
    """
    found = claim_numbers.evaluate(work.spec, work.inputs, work.sources["published"])
    claims_files.write(found, work.out)
    return {word: float(count) for word, count in found["summary"].items()}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("claims")
