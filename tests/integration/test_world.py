"""The whole installation of the harness: created through the REST API, linked and re-linked by the metaservers."""
import pytest

from harness.cluster import World
from harness.processes import wait_until


@pytest.fixture
def world(zookeepers, request):
    with World(dcs=["jq", "fra"], replicas=1, proxied=[("jq", "fra")], zookeepers=zookeepers,
               namespace=request.node.name) as world:
        yield world.start()


def test_created_linked_and_failed_over(world):
    world.create_cluster()
    world.wait_linked()
    world.master("fra").run("SET", "k", "v")
    wait_until(lambda: world.master("jq").run("GET", "k") == "v", 5, "the write to reach jq")
    assert world.dcs["jq"].proxy.tunnels() and world.dcs["fra"].proxy.tunnels()
    world.clear_logs()
    new = world.fail_over("jq")
    world.wait_linked()
    assert world.peerofs("fra")[0][:4] == ["PEEROF", "1", "127.0.0.1", str(new.port)]
    new.run("SET", "after", "failover")
    wait_until(lambda: world.master("fra").run("GET", "after") == "failover", 5, "the write to reach fra")
