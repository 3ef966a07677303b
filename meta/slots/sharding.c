/* sharding.c - wires session, registration, election, records, holder and mover; has no rules of its own beyond
 * "when may anything be held" (update_allowed) and the end of a drain. */
#include "meta/slots/sharding.h"

#include <jansson.h>
#include <stdio.h>

#include "meta/slots/slot_mover.h"
#include "meta/zk/leader_election.h"
#include "meta/zk/server_registry.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"

#include "shared/base/banned.h"

static struct metric leader_gauge =
    METRIC_GAUGE_INIT("xpipe_meta_leader", "", "1 while this metaserver assigns the slots.");

struct sharding {
    struct sharding_options options;
    char *hosts;
    char *name_space;
    struct server_info self;
    struct slot_peer_ops peer;
    struct slot_peer_http *http_peer; /* NULL with a peer of the caller's */

    struct zk *zk; /* NULL before start, like the rest */
    struct server_registry *registry;
    struct leader_election *election;
    struct slot_table *table;
    struct slot_keeper *keeper;
    struct slot_mover *mover;

    bool is_failed;
    bool is_draining;
    bool has_left; /* draining: the registration is given up */
    bool is_drained;
    struct loop_timer drain_timer;
};

static void tell(struct sharding *s, enum sharding_event event, const char *detail)
{
    if (s->options.on_event) {
        s->options.on_event(event, detail, s->options.arg);
    }
}

static void update_allowed(struct sharding *s)
{
    enum zk_state state = zk_state(s->zk);
    slot_keeper_allow(s->keeper,
                      (state == ZK_READY || state == ZK_SUSPENDED) && !s->is_failed &&
                          !s->is_draining && slot_table_is_loaded(s->table) &&
                          server_registry_is_registered(s->registry),
                      server_registry_zxid(s->registry));
}

/* ---- draining ---- */

static void drained(struct sharding *s, const char *why)
{
    if (s->is_draining && !s->is_drained) {
        s->is_drained = true;
        loop_timer_stop(&s->drain_timer);
        log_info("sharding.drained", "why", why);
        tell(s, SHARDING_DRAINED, why);
    }
}

static void drain_check(struct sharding *s)
{
    size_t count;
    const struct server_info *list = server_registry_list(s->registry, &count);
    if (!s->is_draining) {
        return;
    }
    if (count == 0 || (count == 1 && list[0].id == s->self.id)) {
        drained(s, "no other metaserver is there");
        return;
    }
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        const struct slot_entry *e = slot_table_get(s->table, slot);
        if (e->is_valid && e->slot.server_id == s->self.id) {
            return;
        }
    }
    drained(s, "all slots are with others");
}

static bool slot_is_quiet(int slot, void *arg)
{
    const struct sharding *s = arg;
    return !s->options.is_quiet || s->options.is_quiet(slot, s->options.arg);
}

/* Without a registration the leader gives our slots away at once: their new owners must not meet a command of ours. */
static void leave_when_quiet(struct sharding *s)
{
    if (s->is_draining && !s->has_left && slot_is_quiet(-1, s)) {
        s->has_left = true;
        server_registry_leave(s->registry);
        drain_check(s);
    }
}

void sharding_quiet(struct sharding *s, int slot)
{
    if (s->zk) {
        slot_keeper_quiet(s->keeper, slot);
        leave_when_quiet(s);
    }
}

static void drain_timer_fired(struct loop_timer *t)
{
    drained(CONTAINER_OF(t, struct sharding, drain_timer), "time is up");
}

/* ---- what the parts report ---- */

static void slot_held(int slot, bool is_held, void *arg)
{
    struct sharding *s = arg;
    s->options.on_slot(slot, is_held, s->options.arg);
}

static void slot_changed(int slot, void *arg)
{
    struct sharding *s = arg;
    slot_keeper_look(s->keeper, slot);
    slot_mover_look(s->mover);
    drain_check(s);
    tell(s, SHARDING_SLOTS_CHANGED, NULL);
}

static void slots_loaded(void *arg)
{
    struct sharding *s = arg;
    update_allowed(s);
    slot_mover_look(s->mover);
    tell(s, SHARDING_SLOTS_LOADED, NULL);
}

static void servers_changed(void *arg)
{
    struct sharding *s = arg;
    slot_mover_servers_changed(s->mover);
    drain_check(s);
    tell(s, SHARDING_SERVERS_CHANGED, NULL);
}

static void registered(bool is_registered, void *arg)
{
    struct sharding *s = arg;
    update_allowed(s);
    if (is_registered) {
        tell(s, SHARDING_REGISTERED, NULL);
    }
}

static void registration_failed(const char *why, void *arg)
{
    struct sharding *s = arg;
    s->is_failed = true;
    update_allowed(s);
    leader_election_leave(s->election);
    tell(s, SHARDING_FAILED, why);
}

static void leadership_changed(bool is_leader, void *arg)
{
    struct sharding *s = arg;
    metric_set(&leader_gauge, is_leader);
    slot_mover_set_leader(s->mover, is_leader);
    tell(s, is_leader ? SHARDING_LEADER : SHARDING_FOLLOWER, NULL);
}

static void session_changed(struct zk *zk, enum zk_state state, bool is_new_session, void *arg)
{
    (void)zk;
    struct sharding *s = arg;
    update_allowed(s);
    slot_table_on_session(s->table, state, is_new_session);
    server_registry_on_session(s->registry, state, is_new_session);
    leader_election_on_session(s->election, state, is_new_session);
    update_allowed(s);
    if (state == ZK_READY) {
        tell(s, SHARDING_READY, NULL);
    } else if (state == ZK_SUSPENDED) {
        tell(s, SHARDING_SUSPENDED, NULL);
    } else if (state == ZK_LOST) {
        tell(s, SHARDING_LOST, NULL);
    }
}

/* ---- life cycle ---- */

struct sharding *sharding_new(const struct sharding_options *options)
{
    struct sharding *s = xcalloc(1, sizeof(*s));
    s->options = *options;
    s->hosts = xstrdup(options->zk_hosts);
    s->name_space = xstrdup(options->zk_namespace);
    s->self = (struct server_info){ .id = options->server_id,
                                    .addr = addr_of(options->ip, options->port) };
    (void)snprintf(s->self.dc, sizeof(s->self.dc), "%s", options->dc ? options->dc : "");
    server_start_id_make(s->self.start_id);
    if (options->peer) {
        s->peer = *options->peer;
    } else {
        s->http_peer = slot_peer_http_new(options->http);
        s->peer = slot_peer_http_ops(s->http_peer);
    }
    xp_check(!addr_is_none(&s->self.addr));
    loop_timer_init(&s->drain_timer, options->loop, drain_timer_fired);
    return s;
}

static void start_registry(struct sharding *s)
{
    AUTO_FREE char *path = xasprintf("/%s/metaserver/servers", s->name_space);
    struct server_registry_options options = { .loop = s->options.loop,
                                               .zk = s->zk,
                                               .path = path,
                                               .name_space = s->name_space,
                                               .self = s->self,
                                               .refresh_ms = s->options.servers_check_ms,
                                               .on_servers = servers_changed,
                                               .on_registered = registered,
                                               .on_failed = registration_failed,
                                               .arg = s };
    s->registry = server_registry_new(&options);
}

static void start_election(struct sharding *s)
{
    AUTO_FREE char *path = xasprintf("/%s/metaserver/leader", s->name_space);
    struct leader_election_options options = { .loop = s->options.loop,
                                               .zk = s->zk,
                                               .path = path,
                                               .server_id = s->self.id,
                                               .refresh_ms = s->options.leader_check_ms,
                                               .on_change = leadership_changed,
                                               .arg = s };
    s->election = leader_election_new(&options);
}

static void start_table(struct sharding *s)
{
    AUTO_FREE char *path = xasprintf("/%s/metaserver/slots", s->name_space);
    struct slot_table_options options = { .loop = s->options.loop,
                                          .zk = s->zk,
                                          .path = path,
                                          .refresh_ms = s->options.slot_refresh_ms,
                                          .on_slot = slot_changed,
                                          .on_loaded = slots_loaded,
                                          .arg = s };
    s->table = slot_table_new(&options);
}

static bool is_registered(int64_t server_id, void *arg)
{
    struct sharding *s = arg;
    return server_registry_find(s->registry, server_id) != NULL;
}

static void start_keeper(struct sharding *s)
{
    struct slot_keeper_options options = { .loop = s->options.loop,
                                           .zk = s->zk,
                                           .table = s->table,
                                           .self_id = s->self.id,
                                           .check_ms = s->options.self_check_ms,
                                           .on_slot = slot_held,
                                           .is_quiet = slot_is_quiet,
                                           .is_registered = is_registered,
                                           .arg = s };
    s->keeper = slot_keeper_new(&options);
}

static void start_mover(struct sharding *s)
{
    struct slot_mover_options options = { .loop = s->options.loop,
                                          .zk = s->zk,
                                          .table = s->table,
                                          .registry = s->registry,
                                          .keeper = s->keeper,
                                          .peer = s->peer,
                                          .self_id = s->self.id,
                                          .check_ms = s->options.leader_check_ms,
                                          .gone_grace_ms = s->options.gone_grace_ms,
                                          .unknown_grace_ms = s->options.unknown_grace_ms };
    s->mover = slot_mover_new(&options);
}

void sharding_start(struct sharding *s)
{
    xp_check(!s->zk);
    struct zk_options options = { .hosts = s->hosts,
                                  .session_timeout_ms = s->options.session_timeout_ms,
                                  .on_session = session_changed,
                                  .arg = s };
    metric_set(&leader_gauge, 0);
    s->zk = zk_new(s->options.loop, &options);
    start_registry(s);
    start_election(s);
    start_table(s);
    start_keeper(s);
    start_mover(s);
}

/* The session goes first: it answers every call under way, for which the parts must still be there. */
void sharding_free(struct sharding *s)
{
    if (!s) {
        return;
    }
    loop_timer_stop(&s->drain_timer);
    if (s->keeper) {
        slot_keeper_stop(s->keeper);
    }
    zk_free(s->zk);
    slot_mover_free(s->mover);
    slot_peer_http_free(s->http_peer);
    slot_keeper_free(s->keeper);
    slot_table_free(s->table);
    leader_election_free(s->election);
    server_registry_free(s->registry);
    free(s->hosts);
    free(s->name_space);
    free(s);
}

void sharding_drain(struct sharding *s, int64_t limit_ms)
{
    if (s->is_draining) {
        return;
    }
    s->is_draining = true;
    loop_timer_start(&s->drain_timer, limit_ms);
    if (!s->zk || zk_state(s->zk) != ZK_READY) {
        drained(s, "not connected");
        return;
    }
    update_allowed(s);
    leader_election_leave(s->election);
    leave_when_quiet(s);
}

/* ---- queries ---- */

bool sharding_owns(const struct sharding *s, int slot, mono_ms now)
{
    return s->zk && slot_keeper_owns(s->keeper, slot, now);
}

static bool lease_is_valid(const struct sharding *s, mono_ms now)
{
    return s->zk && zk_lease_is_valid(s->zk, now);
}

bool sharding_is_leader(const struct sharding *s, mono_ms now)
{
    return s->zk && leader_election_is_leader(s->election) && zk_lease_is_valid(s->zk, now);
}

bool sharding_slot(const struct sharding *s, int slot, struct slot *ret_slot)
{
    if (!s->zk || slot < 0 || slot >= SLOT_COUNT) {
        return false;
    }
    const struct slot_entry *e = slot_table_get(s->table, slot);
    if (e->is_valid) {
        *ret_slot = e->slot;
    }
    return e->is_valid;
}

enum sharding_owner_result sharding_owner(const struct sharding *s, int slot,
                                          struct server_info *ret_server)
{
    struct slot record;
    if (!sharding_slot(s, slot, &record) || record.server_id == 0) {
        return SHARDING_OWNER_NO_SLOT;
    }
    int64_t id = slot_keeper_has_exported(s->keeper, slot) ? record.to_server_id : record.server_id;
    const struct server_info *found = server_registry_find(s->registry, id);
    *ret_server = found ? *found : (struct server_info){ .id = id };
    return found ? SHARDING_OWNER_FOUND : SHARDING_OWNER_NOT_REGISTERED;
}

const struct server_info *sharding_servers(const struct sharding *s, size_t *ret_count)
{
    *ret_count = 0;
    return s->zk ? server_registry_list(s->registry, ret_count) : NULL;
}

int sharding_check_ready(const struct sharding *s, mono_ms now, struct xp_err *err)
{
    if (s->is_draining) {
        return xp_fail(err, XP_UNAVAILABLE, "draining");
    }
    if (s->is_failed) {
        return xp_fail(err, XP_UNAVAILABLE, "registration given up: %s",
                       server_registry_obstacle(s->registry));
    }
    if (!lease_is_valid(s, now)) {
        return xp_fail(err, XP_UNAVAILABLE, "no valid ZooKeeper lease (%s)",
                       s->zk ? zk_state_text(zk_state(s->zk)) : "not started");
    }
    if (!slot_table_is_loaded(s->table)) {
        return xp_fail(err, XP_UNAVAILABLE, "slots are not read yet");
    }
    if (!server_registry_is_registered(s->registry)) {
        const char *why = server_registry_obstacle(s->registry);
        return xp_fail(err, XP_UNAVAILABLE, "not registered in ZooKeeper yet%s%s",
                       why[0] ? ": " : "", why);
    }
    return 0;
}

int sharding_slot_command(struct sharding *s, const struct slot_command_call *call,
                          struct xp_err *err)
{
    if (!s->zk) {
        return xp_fail(err, XP_UNAVAILABLE, "not connected to ZooKeeper yet");
    }
    return slot_keeper_command(s->keeper, call, err);
}

void sharding_refresh(struct sharding *s)
{
    if (s->zk) {
        slot_table_refresh(s->table);
        server_registry_refresh(s->registry);
    }
}

void sharding_set_hosts(struct sharding *s, const char *zk_hosts)
{
    free(s->hosts);
    s->hosts = xstrdup(zk_hosts);
    if (s->zk) {
        zk_set_hosts(s->zk, zk_hosts);
    }
}

struct zk *sharding_zk(struct sharding *s)
{
    return s->zk;
}

/* ---- debug ---- */

static json_t *address_json(const struct server_info *server)
{
    return json_pack("{s:s, s:i}", "ip", server->addr.host, "port", server->addr.port);
}

static json_t *servers_json(const struct sharding *s)
{
    size_t count;
    const struct server_info *list = sharding_servers(s, &count);
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        json_object_set_new(object, log_int(list[i].id), address_json(&list[i]));
    }
    return object;
}

static json_t *slot_json(const struct slot *slot)
{
    return json_pack("{s:I, s:s, s:I}", "serverId", (json_int_t)slot->server_id, "slotState",
                     slot->state == SLOT_MOVING ? "MOVING" : "NORMAL", "toServerId",
                     (json_int_t)slot->to_server_id);
}

struct json_t *sharding_debug_json(const struct sharding *s)
{
    json_t *mine = json_array();
    json_t *all = json_object();
    for (int i = 0; i < SLOT_COUNT; i++) {
        struct slot slot;
        if (sharding_slot(s, i, &slot)) {
            json_object_set_new(all, log_int(i), slot_json(&slot));
        }
        if (s->zk && slot_keeper_holds(s->keeper, i)) {
            json_array_append_new(mine, json_integer(i));
        }
    }
    return json_pack("{s:I, s:s, s:s, s:b, s:o, s:I, s:o, s:o, s:o}", "currentServerId",
                     (json_int_t)s->self.id, "zkAddress", s->hosts, "zkNameSpace", s->name_space,
                     "leader", sharding_is_leader(s, clock_mono_ms()), "currentClusterServerInfo",
                     address_json(&s->self), "inchargeSlotsSize", (json_int_t)json_array_size(mine),
                     "inchargeSlots", mine, "clusterServerInfos", servers_json(s), "allSlotInfo",
                     all);
}
