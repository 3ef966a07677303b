/* repl_history.h - which stream of replication the data of a Redis is, and how far it goes, as INFO tells it: master_replid, master_repl_offset, and
 * with a promotion the history of before it (master_replid2, which counts below second_repl_offset). Two of them say how much of one the other
 * does not have. Pure readings of what an unknown server says. Thread: any. */
#ifndef SHARED_NET_REPL_HISTORY_H
#define SHARED_NET_REPL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPL_ID_SIZE 41

struct repl_history {
    char repl_id[REPL_ID_SIZE];  /* "" not known */
    char repl_id2[REPL_ID_SIZE]; /* "" none */
    int64_t second_offset;       /* the first byte that is not of repl_id2; -1 none */
    int64_t offset;              /* master_repl_offset; -1 not known */
    bool has_data; /* a database has keys; also when the section keyspace is not there to deny it */
};

/* Of INFO, or of its section replication. What is odd is not known. */
void repl_history_parse(const char *text, size_t length, struct repl_history *ret_history);
bool repl_history_eq(const struct repl_history *, const struct repl_history *); /* ids alone */
/* How many bytes of 'own' are not in what 'other' is made of, and the offset of the last one that is. False: they have nothing in common that could be
 * compared. */
bool repl_history_beyond(const struct repl_history *own, const struct repl_history *other,
                         int64_t *ret_bytes, int64_t *ret_common);

#endif
