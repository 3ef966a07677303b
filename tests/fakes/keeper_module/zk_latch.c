/* zk_latch.c - see zk_latch.h. The thread makes one session after the other; calls are synchronous. */
#include "tests/fakes/keeper_module/zk_latch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zookeeper/zookeeper.h>

#include "shared/base/banned.h"

enum { PATH_MAX_BYTES = 512, DATA_MAX_BYTES = 1024, HOSTS_MAX_BYTES = 256, RETRY_MS = 200 };

static struct {
    pthread_mutex_t lock; /* guards the five below */
    pthread_cond_t changed;
    bool is_connected;
    bool is_over; /* the session expired, or cannot be had */
    bool must_reset;
    bool must_stop;
    bool is_running;
    pthread_t thread;
    /* constant after the start */
    char hosts[HOSTS_MAX_BYTES];
    char path[PATH_MAX_BYTES];
    char data[DATA_MAX_BYTES];
    int session_ms;
    /* of the thread */
    zhandle_t *zk;
    char prefix[64]; /* "_c_<uuid>-latch-" */
    char child[PATH_MAX_BYTES + 96];
} latch = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void on_event(zhandle_t *zk, int type, int state, const char *path, void *arg)
{
    (void)zk;
    (void)path;
    (void)arg;
    if (type != ZOO_SESSION_EVENT) {
        return;
    }
    pthread_mutex_lock(&latch.lock);
    latch.is_connected = state == ZOO_CONNECTED_STATE;
    latch.is_over =
        latch.is_over || state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE;
    pthread_cond_signal(&latch.changed);
    pthread_mutex_unlock(&latch.lock);
}

/* With the lock held: until something changes; while a call is owed, RETRY_MS at most. */
static void wait_for_change(bool owes)
{
    struct timespec until;

    if (!owes) {
        (void)pthread_cond_wait(&latch.changed, &latch.lock);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += RETRY_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_cond_timedwait(&latch.changed, &latch.lock, &until);
}

static void new_name(void)
{
    unsigned char b[16] = { 0 };
    FILE *f = fopen("/dev/urandom", "re");

    if (!f || fread(b, sizeof b, 1, f) != 1) {
        abort();
    }
    (void)fclose(f);
    (void)snprintf(latch.prefix, sizeof latch.prefix,
                   "_c_%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x-latch-",
                   b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                   b[13], b[14], b[15]);
}

static bool create_parents(void)
{
    char path[PATH_MAX_BYTES];
    char *at = path;

    (void)snprintf(path, sizeof path, "%s", latch.path);
    do {
        at = strchr(at + 1, '/');
        if (at) {
            *at = '\0';
        }
        int rc = zoo_create(latch.zk, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
        if (rc != ZOK && rc != ZNODEEXISTS) {
            return false;
        }
        if (at) {
            *at = '/';
        }
    } while (at);
    return true;
}

/* A create whose answer was lost may have happened: the name tells, that is what it is random for. */
static bool find_child(void)
{
    struct String_vector names = { 0 };
    bool found = false;

    if (zoo_get_children(latch.zk, latch.path, 0, &names) != ZOK) {
        return false;
    }
    for (int i = 0; i < names.count && !found; i++) {
        found = strncmp(names.data[i], latch.prefix, strlen(latch.prefix)) == 0;
        if (found) {
            (void)snprintf(latch.child, sizeof latch.child, "%s/%s", latch.path, names.data[i]);
        }
    }
    deallocate_String_vector(&names);
    return found;
}

static bool ensure_child(void)
{
    char path[sizeof latch.child];

    if (!create_parents()) {
        return false;
    }
    if (find_child()) {
        return true;
    }
    (void)snprintf(path, sizeof path, "%s/%s", latch.path, latch.prefix);
    return zoo_create(latch.zk, path, latch.data, (int)strlen(latch.data), &ZOO_OPEN_ACL_UNSAFE,
                      ZOO_EPHEMERAL | ZOO_SEQUENCE, latch.child, sizeof latch.child) == ZOK;
}

/* Takes the child away; false: not known, ask again. */
static bool leave(void)
{
    int rc = latch.child[0] ? zoo_delete(latch.zk, latch.child, -1) : ZOK;

    if (rc != ZOK && rc != ZNONODE) {
        return false;
    }
    latch.child[0] = '\0';
    new_name();
    return true;
}

/* With the lock held; gives it away for calls. */
static void serve_session(void)
{
    bool is_entered = false;

    while (!latch.must_stop && !latch.is_over) {
        bool can_call = latch.is_connected;
        bool leaves = latch.must_reset;
        if (can_call && (leaves || !is_entered)) {
            pthread_mutex_unlock(&latch.lock);
            bool has_left = leaves && leave();
            is_entered = !leaves && ensure_child();
            pthread_mutex_lock(&latch.lock);
            latch.must_reset = latch.must_reset && !has_left;
            if (has_left || is_entered) {
                continue;
            }
        }
        wait_for_change(!is_entered);
    }
}

static void *run(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&latch.lock);
    while (!latch.must_stop) {
        latch.is_connected = false;
        latch.is_over = false;
        latch.child[0] = '\0';
        pthread_mutex_unlock(&latch.lock);
        new_name();
        latch.zk = zookeeper_init(latch.hosts, on_event, latch.session_ms, NULL, NULL, 0);
        pthread_mutex_lock(&latch.lock);
        if (latch.zk) {
            serve_session();
        } else {
            wait_for_change(true);
        }
        pthread_mutex_unlock(&latch.lock);
        if (latch.zk) {
            (void)zookeeper_close(latch.zk);
        }
        pthread_mutex_lock(&latch.lock);
    }
    pthread_mutex_unlock(&latch.lock);
    return NULL;
}

int latch_start(const struct latch_options *o)
{
    int rc;

    zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
    if (strlen(o->hosts) >= sizeof latch.hosts || strlen(o->path) >= sizeof latch.path ||
        strlen(o->data) >= sizeof latch.data) {
        return ENAMETOOLONG;
    }
    (void)snprintf(latch.hosts, sizeof latch.hosts, "%s", o->hosts);
    (void)snprintf(latch.path, sizeof latch.path, "%s", o->path);
    (void)snprintf(latch.data, sizeof latch.data, "%s", o->data);
    latch.session_ms = o->session_ms;
    rc = pthread_create(&latch.thread, NULL, run, NULL);
    latch.is_running = rc == 0;
    return rc;
}

void latch_reset(void)
{
    pthread_mutex_lock(&latch.lock);
    latch.must_reset = true;
    pthread_cond_signal(&latch.changed);
    pthread_mutex_unlock(&latch.lock);
}

void latch_stop(void)
{
    pthread_mutex_lock(&latch.lock);
    latch.must_stop = true;
    pthread_cond_signal(&latch.changed);
    pthread_mutex_unlock(&latch.lock);
    if (latch.is_running) {
        (void)pthread_join(latch.thread, NULL);
        latch.is_running = false;
    }
}
