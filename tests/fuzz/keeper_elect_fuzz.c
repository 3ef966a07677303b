/* keeper_elect_fuzz.c - what keepers write of themselves into ZooKeeper. Input: a line per child: its path ('r': repl_), its name up
 * to a blank, its data. The document names the first two addresses of the corpus. */
#include "meta/keepers/keeper_elect.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

#define CHILDREN_MAX 64

struct children {
    struct keeper_child list[CHILDREN_MAX];
    char *lines[CHILDREN_MAX];
    size_t count;
};

static void read_children(struct fuzz_input *in, struct children *c)
{
    c->count = 0;
    char *line;
    while (c->count < CHILDREN_MAX && (line = fuzz_line(in)) != NULL) {
        char *blank = strchr(line, ' ');
        struct keeper_child *child = &c->list[c->count];
        *child = (struct keeper_child){
            .path = line[0] == 'r' ? ELECTION_BY_REPL : ELECTION_BY_SHARD,
            .name = line,
            .data = blank ? blank + 1 : NULL,
            .length = blank ? strlen(blank + 1) : 0,
        };
        if (blank) {
            *blank = '\0';
        }
        c->lines[c->count++] = line;
    }
}

static void check_keeper(const struct keeper_election *e, size_t at)
{
    const struct live_keeper *k = &e->keepers[at];
    xp_check(!addr_is_none(&k->addr) && k->addr.port > 0 && k->addr.port <= 65535);
    xp_check(strnlen(k->run_id, sizeof(k->run_id)) < sizeof(k->run_id));
    xp_check(k->is_in_meta || (k->priority == 1 && k->container_id == 0));
    xp_check(k->priority <= 0 || e->active >= 0);
    for (size_t other = 0; other < at; other++) {
        xp_check(!addr_eq(&e->keepers[other].addr, &k->addr));
    }
}

static void check(const struct keeper_election *e, size_t children)
{
    xp_check(e->count <= SHARD_KEEPERS_MAX && e->unreadable >= 0 && e->ignored >= 0);
    xp_check(e->count + (size_t)e->unreadable + (size_t)e->ignored <= children);
    xp_check(e->active >= -1 && e->active < (int)e->count);
    for (size_t i = 0; i < e->count; i++) {
        check_keeper(e, i);
    }
    xp_check(keeper_election_eq(e, e));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct children c;
    static struct keeper_election first;
    static struct keeper_election again;
    struct keeper_meta named[] = {
        { .addr = addr_of("10.2.0.5", 6380), .priority = 1, .container_id = 3 },
        { .addr = addr_of("10.2.0.6", 6380), .priority = 0, .container_id = 4 },
    };
    struct shard_meta shard = { .keepers = { named, 2 } };
    struct fuzz_input in = { (const char *)bytes, (const char *)bytes + size };
    read_children(&in, &c);
    keeper_elect(c.list, c.count, &shard, &first);
    check(&first, c.count);
    for (size_t i = 0; i < c.count / 2; i++) { /* the order of the children is of no account */
        struct keeper_child swap = c.list[i];
        c.list[i] = c.list[c.count - 1 - i];
        c.list[c.count - 1 - i] = swap;
    }
    keeper_elect(c.list, c.count, &shard, &again);
    check(&again, c.count);
    xp_check(again.count == first.count && again.unreadable == first.unreadable);
    for (size_t i = 0; i < c.count; i++) {
        free(c.lines[i]);
    }
    return 0;
}
