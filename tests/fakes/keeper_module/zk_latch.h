/* zk_latch.h - the keeper's place in the election of its shard: a leader latch in ZooKeeper, as Curator makes it (4.7).
 *
 * An ephemeral sequential child "_c_<uuid>-latch-<10 digits>" that holds the keeper's KeeperMeta. Its session is that of this
 * process: kill -9 leaves the child until the session expires, latch_stop takes it away at once. After an expiry a new session
 * makes a new child, at the end of the order.
 * Thread: its own (and those of the ZooKeeper library); it touches nothing of redis-server. The functions below: main. */
#ifndef TESTS_FAKES_KEEPER_MODULE_ZK_LATCH_H
#define TESTS_FAKES_KEEPER_MODULE_ZK_LATCH_H

struct latch_options {
    const char *hosts; /* "ip:port,ip:port" */
    const char *path;  /* parent; it and its parents are created */
    const char *data;
    int session_ms;
};

/* Copies the texts and starts the thread. 0, or an errno. */
int latch_start(const struct latch_options *);
/* Leaves the election and enters it again, at the end. Returns at once. */
void latch_reset(void);
/* Closes the session, so that the child goes, and ends the thread. Blocks for a moment. Fine without latch_start. */
void latch_stop(void);

#endif
