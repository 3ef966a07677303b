"""One-way clusters of the harness without metaservers: created through REST, the tree built by hand, and data that goes through it."""
import pytest

from harness.cluster import World
from harness.processes import wait_until

PROXIED = [("jq", "fra")]


@pytest.fixture
def world_of(zookeepers, request):
    """world_of(**options): started, without metaservers."""
    made = []

    def make(**options):
        world = World(dcs=["jq", "fra"], shards=0, metas=0, zookeepers=zookeepers, namespace=request.node.name.split("[")[0], **options)
        made.append(world)
        return world.start()
    yield make
    for world in made:
        world.close()


@pytest.mark.parametrize("containers, proxied", [(2, []), (2, PROXIED), ({"jq": 2}, []), ({"fra": 2}, PROXIED), (0, [])],
                         ids=["keepers", "keepers-proxies", "keepers-primary", "keepers-backup-proxies", "no-keepers"])
def test_data_is_read_in_each_dc(world_of, containers, proxied):
    world = world_of(containers=containers, proxied=proxied)
    orders = world.one_way("orders", replicas=1).create()
    with_keepers = [dc for dc in world.dcs if orders.keepers(dc)]
    assert with_keepers == [dc for dc in world.dcs if world.dcs[dc].containers]
    for dc in with_keepers:
        keepers = orders.keepers(dc)
        assert sorted(k.ip for k in keepers) == sorted(c.ip for c in world.dcs[dc].containers)
        assert {k.port for k in keepers} == {6380}
    assert orders.problems(["fra"]), "nobody has built anything yet"
    orders.build_by_hand().wait_whole()
    orders.write("k", "v")
    orders.wait_read("k", "v")
    tunnels = [len(p.tunnels()) for p in world.proxies()]
    assert tunnels == [1, 1] if proxied and "fra" in with_keepers else not any(tunnels)


def test_problems_are_seen(world_of):
    world = world_of(containers=2)
    orders = world.one_way("orders", replicas=1).create().build_by_hand()
    orders.wait_whole()
    lost, backup = orders.redises["fra"]["s1"][0], orders.keepers("fra")[1]
    lost.replicate(None)
    assert any("is a master" in p for p in orders.problems()), orders.problems()
    lost.replicate(orders.active_keeper("fra"))
    orders.wait_whole()
    backup.setstate("ACTIVE", orders.head())
    assert any("2 active keepers" in p for p in orders.problems()), orders.problems()
    backup.setstate("BACKUP", orders.keepers("fra")[0])
    orders.wait_whole()
    orders.active_keeper("jq").kill()
    wait_until(lambda: any("0 active keepers" in p for p in orders.problems()), 5, "the dead keeper to be seen")


def test_keepers_of_a_cluster_can_be_taken_away(world_of):
    world = world_of(containers=2)
    plain = world.one_way("plain", keepers=["jq"]).create()
    assert plain.keepers("jq") and not plain.keepers("fra")
    plain.build_by_hand().wait_whole()
    plain.write("k", "v")
    plain.wait_read("k", "v")
    assert plain.relay("fra") is plain.redises["fra"]["s1"][0]
