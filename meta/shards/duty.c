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
}

void duty_done(struct duty *duty)
{
    cluster_meta_unref(duty->cluster);
    free(duty->shard);
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

int duty_check_allowed(const struct duty *duty, const struct duty_env *env, mono_ms suspended_until,
                       struct xp_err *err)
{
    if (duty->cluster->is_migrating) {
        return xp_fail(err, XP_FORBIDDEN, "cluster is being migrated");
    }
    if (loop_now(env->loop) < suspended_until) {
        return xp_fail(err, XP_FORBIDDEN, "correction is suspended");
    }
    return env->may_command(duty->cluster, env->arg, err);
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
