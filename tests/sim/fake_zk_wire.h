/* fake_zk_wire.h - what the halves of the simulated ZooKeeper share; nobody else includes it.
 *
 * fake_zk.c is the C client library (the functions of zookeeper.h that zk*.c call) and the wire; fake_zk_server.c is the
 * server: sessions, watches, requests, and the knobs of fake_zk.h; fake_zk_tree.c is its nodes.
 * A message belongs to its client's handle until it is answered; when the handle is closed or loses its connection, what is
 * on the way to the server goes on alone. */
#ifndef TESTS_SIM_FAKE_ZK_WIRE_H
#define TESTS_SIM_FAKE_ZK_WIRE_H

#include "shared/net/zk_internal.h"
#include "tests/sim/fake_zk.h"
#include "tests/sim/fake_zk_tree.h"

enum message_kind {
    MSG_CONNECT, /* to the server: session_id 0 for a new one */
    MSG_CLOSE,   /* to the server: the end of the session */
    MSG_SYNC,
    MSG_CREATE,
    MSG_REPLACE,
    MSG_DELETE,
    MSG_SET,
    MSG_GET,
    MSG_EXISTS,
    MSG_CHILDREN,
    MSG_EVENT,      /* to the client: a watch */
    MSG_DISCONNECT, /* to the client: the server closed the connection */
};

enum message_place {
    AT_CLIENT, /* not sent: the link is blocked, or there is no connection */
    GOING_UP,
    AT_SERVER, /* not sent: the link back is blocked */
    GOING_DOWN,
    NOWHERE, /* lost with its connection; the client does not know yet */
};

struct message {
    /* of the handle, in order of sending; of the server, alone; of a session, an event that waits */
    struct list link;
    struct loop_timer timer;
    struct fake_zk_server *server;
    struct _zhandle *handle; /* NULL: nobody waits for it */
    enum message_kind kind;
    enum message_place place;
    uint64_t connection; /* of the handle; answers of an older one are dropped */
    int server_run;
    int64_t session_id;
    /* request */
    char *path;
    char *data; /* what is sent; then what was read or created */
    size_t length;
    int flags;
    int version;
    watcher_fn watcher;
    void *watcher_ctx;
    /* what the library was given */
    union {
        string_completion_t string;
        void_completion_t nothing;
        stat_completion_t stat;
        data_completion_t data;
        strings_completion_t strings;
    } done;
    const void *done_arg;
    char *created; /* zoo_amulti's buffer */
    int created_bytes;
    /* answer */
    int zrc;
    struct Stat stat;
    char **names;
    int name_count;
};

struct zk_session {
    struct fake_zk_server *server;
    int64_t id;
    int64_t timeout_ms;
    struct loop_timer expiry;
    struct list ephemerals;  /* zk_node.owned */
    struct list watches;     /* server_watch.of_session */
    struct list events;      /* MSG_EVENT for a client that is not connected */
    struct _zhandle *client; /* NULL: not connected */
};

struct fake_zk_server {
    struct list link; /* of all servers */
    struct loop *loop;
    char *hosts;
    int64_t latency_ms;
    bool is_stopped;
    int run; /* counts starts */
    struct zk_tree tree;
    struct map sessions; /* by id */
    int64_t last_session_id;
    int64_t actor;           /* the session whose request is being carried out; 0: none */
    struct map data_watches; /* path -> struct watch_list */
    struct map child_watches;
    struct list handles; /* _zhandle.link */
    struct list alone;   /* struct message */
    fake_zk_changed_fn *changed;
    void *changed_arg;
};

struct _zhandle { /* zhandle_t of the library */
    struct list link;
    struct fake_zk_server *server;
    struct loop *loop;
    watcher_fn watcher;
    void *context;
    enum fake_zk_link wire;
    int state;
    clientid_t id;
    int recv_timeout;
    int wish_ms; /* the time-out asked for */
    /* the session whose client this is, for the server; it may know more than we */
    int64_t attached;
    uint64_t connection; /* counts tries to connect */
    mono_ms heard_at;
    mono_ms last_up; /* messages never overtake each other */
    mono_ms last_down;
    struct loop_timer connect; /* the next try */
    struct loop_timer silence; /* nothing heard for too long */
    struct list messages;
};

/* fake_zk.c */
struct message *zk_message_new(struct fake_zk_server *, enum message_kind);
void zk_message_free(struct message *);
void zk_send_down(struct _zhandle *, struct message *); /* takes it; the answer or an event */
void zk_wire_changed(struct _zhandle *);                /* the link was opened or blocked */
void zk_leave_session(struct _zhandle *);               /* it is nobody's client any more */
struct fake_zk_server *zk_server_find(const char *hosts);

/* fake_zk_server.c */
void zk_server_take(struct message *); /* has arrived; takes it */
struct zk_session *zk_session_find(const struct fake_zk_server *, int64_t id);
enum fake_zk_link zk_link_of(const struct zk_port *);

#endif
