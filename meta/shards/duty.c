/* duty.c - see duty.h. */
#include "meta/shards/duty.h"

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

void duty_init(struct duty *duty, const struct duty_class *class, struct cluster_meta *cluster,
               const char *shard)
{
    duty->class = class;
    duty->cluster = cluster_meta_ref(cluster);
    duty->shard = xstrdup(shard);
    duty->suspended_until = MONO_NEVER;
}

void duty_done(struct duty *duty)
{
    cluster_meta_unref(duty->cluster);
    free(duty->shard);
    free(duty->hold);
}

void duty_set_cluster(struct duty *duty, struct cluster_meta *cluster)
{
    struct cluster_meta *old = duty->cluster;
    duty->cluster = cluster_meta_ref(cluster);
    cluster_meta_unref(old);
}

const struct shard_meta *duty_shard(const struct duty *duty)
{
    return cluster_meta_shard(duty->cluster, duty->shard);
}

bool duty_is_of(const struct duty *duty, const struct cluster_meta *cluster)
{
    const struct shard_meta *mine = duty_shard(duty);
    const struct shard_meta *theirs = cluster_meta_shard(cluster, duty->shard);
    return duty->cluster->db_id == cluster->db_id && duty->cluster->type == cluster->type && mine &&
           theirs && mine->db_id == theirs->db_id;
}

void duty_set_suspended(struct duty *duty, const struct duty_env *env, int64_t ttl_ms)
{
    duty->suspended_until = ttl_ms > 0 ? loop_now(env->loop) + ttl_ms : MONO_NEVER;
}

bool duty_is_suspended(const struct duty *duty, const struct duty_env *env)
{
    return loop_now(env->loop) < duty->suspended_until;
}

enum duty_stance duty_stance(const struct duty *duty, const struct duty_env *env)
{
    return env->stance ? env->stance(duty, env->arg) : STANCE_NONE;
}

int duty_check_allowed(const struct duty *duty, const struct duty_env *env, struct xp_err *err)
{
    enum duty_stance stance = duty_stance(duty, env);
    if (stance == STANCE_KEEP_OFF || stance == STANCE_FENCED) {
        return xp_fail(err, XP_FORBIDDEN, "a switchover holds this shard");
    }
    if (duty->cluster->is_migrating && stance != STANCE_FOLLOW) {
        return xp_fail(err, XP_FORBIDDEN, "cluster is being migrated");
    }
    if (duty_is_suspended(duty, env)) {
        return xp_fail(err, XP_FORBIDDEN, "correction is suspended");
    }
    return env->may_command(duty->cluster, env->arg, err);
}

bool duty_note_hold(struct duty *duty, const char *why)
{
    if (text_eq(duty->hold, why)) {
        return false;
    }
    free(duty->hold);
    duty->hold = xstrdup(why);
    return why != NULL;
}

bool duty_take_budget(struct duty_env *env, bool cuts)
{
    mono_ms now = loop_now(env->loop);
    if (cuts && !budget_take(&env->cut, now)) {
        return false;
    }
    if (!budget_take(&env->correct, now)) {
        if (cuts) {
            budget_give_back(&env->cut);
        }
        return false;
    }
    return true;
}

int64_t duty_phase_ms(const struct duty *duty, int64_t period_ms)
{
    const struct shard_meta *shard = duty_shard(duty);
    uint64_t id = (uint64_t)duty->cluster->db_id * 31 + (shard ? (uint64_t)shard->db_id : 0) * 7;
    return (int64_t)((id * 0x9E3779B97F4A7C15U >> 32) % (uint64_t)period_ms);
}

json_t *duty_wall_json(const struct duty_env *env, mono_ms at)
{
    return at == MONO_NEVER ? json_null()
                            : json_integer(clock_wall_ms() - (loop_now(env->loop) - at));
}
