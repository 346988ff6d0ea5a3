"""The metrics that a Ray exports, read as Prometheus would."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Merge = Callable[[list[float]], float]
"""Makes one value of those of several processes."""

PREFIX = "ray_avcmr_"
"""Ray's prefix and ours of every name in :mod:`raytasks.monitoring.metrics`."""

ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the processes of one Ray last measured; its metrics lag by some seconds.

    Attributes:
        session: name of the Ray's folder.
        samples: of the metrics whose names begin with :data:`PREFIX`, from all nodes.
    """

    session: str
    samples: tuple[Sample, ...]

    def by(self, name: str, label: str, merge: Merge = sum) -> dict[str, float]:
        """The values of a metric by those of one label, merged over all processes."""
        values: defaultdict[str, list[float]] = defaultdict(list)
        for sample in self.samples:
            if sample.name == PREFIX + name:
                values[sample.labels[label]].append(sample.value)
        return {of: merge(several) for of, several in sorted(values.items())}

    def total(self, name: str, merge: Merge = sum) -> float | None:
        """A metric merged over all processes; None where none has measured it."""
        return self.by(name, "SessionName", merge).get(self.session)

    def only(self, label: str, value: str) -> "Reading":
        """The same of the samples with this label alone."""
        chosen = (sample for sample in self.samples if sample.labels.get(label) == value)
        return Reading(self.session, tuple(chosen))


def reading_of(session: Path) -> Reading:
    """What a Ray exports, from the folder of its session."""
    targets = session / "prom_metrics_service_discovery.json"
    return Reading(session.name, _of_the_living(tuple(_samples(targets, session.name))))


def _of_the_living(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Without those of processes that have ended: Ray keeps their counters, but not their gauges.

    Each process that counts also has a gauge.
    """
    living = {one.labels.get("WorkerId") for one in samples if not one.name.endswith("_total")}
    return tuple(one for one in samples if one.labels.get("WorkerId") in living)


def _samples(targets: Path, session: str) -> Iterator[Sample]:
    """What the nodes of a Ray export of avcmr."""
    opener = build_opener(ProxyHandler({}))  # nodes are not behind a proxy
    with suppress(OSError, ValueError):
        addresses = [one for group in json.loads(targets.read_text()) for one in group["targets"]]
        for address in addresses:
            url = f"http://{address}/metrics"
            with suppress(OSError, HTTPException), opener.open(url, timeout=ANSWER_SECONDS) as page:
                for family in text_string_to_metric_families(page.read().decode()):
                    for sample in family.samples:
                        ours = sample.name.startswith(PREFIX)
                        # Another Ray may have the ports of one that has ended.
                        if ours and sample.labels["SessionName"] == session:
                            yield sample
