"""A local Ray starts on a busy machine, too."""

import pytest
import ray

from raytasks import startup


def test_a_busy_machine_has_time_to_start_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would give up after half a minute, by an exception without a type of its own."""
    looks: list[str] = []

    def get_node(gcs_address: str, node_id: str) -> dict[str, str]:
        looks.append(node_id)
        if len(looks) < 3:
            raise RuntimeError("no such node")
        return {"node_id": node_id}

    services = ray._private.services
    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(startup, "_raylet_runs", lambda: True)
    with startup.time_to_start():
        assert services.get_node("127.0.0.1:1", "a") == {"node_id": "a"}
        assert looks == ["a"] * 3
        looks.clear()
        monkeypatch.setattr(startup, "_START_SECONDS", -1.0)
        with pytest.raises(ConnectionError, match="did not start within"):
            services.get_node("127.0.0.1:1", "a")
        monkeypatch.setattr(startup, "_raylet_runs", lambda: False)
        looks.clear()
        with pytest.raises(ConnectionError, match="its raylet died"):
            services.get_node("127.0.0.1:1", "a")
    assert services.get_node is get_node
