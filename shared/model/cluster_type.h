/* cluster_type.h - the kinds of Redis clusters and what each can do (console-api.md 1.5). Thread: any. */
#ifndef SHARED_MODEL_CLUSTER_TYPE_H
#define SHARED_MODEL_CLUSTER_TYPE_H

#include <stdbool.h>

enum cluster_type {
    CLUSTER_UNKNOWN,
    CLUSTER_ONE_WAY,
    CLUSTER_BI_DIRECTION,
    CLUSTER_SINGLE_DC,
    CLUSTER_LOCAL_DC,
    CLUSTER_CROSS_DC,
    CLUSTER_HETERO,
};

struct cluster_type_info {
    enum cluster_type type;
    const char *name; /* "ONE_WAY" */
    bool has_keepers;
    bool can_migrate;
    bool has_health_check;
    bool is_multi_active; /* no active DC; documents carry 'dcs' */
    bool is_supported;    /* may be created here */
};

const struct cluster_type_info *cluster_type_info(enum cluster_type type); /* never NULL */
enum cluster_type cluster_type_from_text(const char *text); /* any case; CLUSTER_UNKNOWN */

#endif
