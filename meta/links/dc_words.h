/* dc_words.h - what metaservers of different DCs talk about, as a table of words: masters of bi-direction shards (master_words),
 * upstreams of one-way ones (upstream_words). The conversations themselves are the same: dc_links.h says when, dc_batch.h how.
 *
 * The functions are pure and read text from outside: what is odd, or tells nothing, is refused with false and spoils itself
 * only. Thread: any. */
#ifndef META_LINKS_DC_WORDS_H
#define META_LINKS_DC_WORDS_H

#include "meta/links/shard_names.h"
#include "shared/base/addr.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/net/repl_history.h"

enum dc_lane { DC_ASK, DC_TELL };
#define DC_LANES 2

struct dc_topic { /* a shard that is asked for, or told of */
    struct shard_name name;
    struct addr addr; /* told to a Java metaserver with it; none: without */
};

struct dc_answer {    /* what another DC says about a shard */
    struct addr addr; /* never none */
    int64_t number;   /* master_words: gid; upstream_words: offset, -1 unknown */
    /* upstream_words: of the master there; repl_id "" unknown. Else zeros */
    struct repl_history history;
};

struct dc_row {
    const char *cluster; /* both borrowed from the row's JSON */
    const char *shard;
    struct dc_answer answer;
};

struct dc_words {
    const char *subject;              /* for the log: "masters" */
    const char *batch_path[DC_LANES]; /* POST {"dc":ours,"shards":[[cluster, shard],...]} */
    const char *rows;                 /* array in the answer to DC_ASK */
    const char *single_method[DC_LANES];
    /* Target of the request about one shard towards a Java metaserver; nothing is added: there is no such request. */
    void (*single_target)(enum dc_lane, const char *own_dc, const struct dc_topic *,
                          struct str *target);
    bool (*read_row)(const json_t *row, struct dc_row *ret_row);
    bool (*read_single)(const char *text, size_t length, struct dc_answer *ret_answer);
    struct metric *ok; /* conversations */
    struct metric *failed;
};

#endif
