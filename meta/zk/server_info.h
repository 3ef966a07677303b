/* server_info.h - one metaserver as it registers itself: id, address, start id; and its JSON.
 *
 * {"ip":"10.0.0.1","port":9747,"startId":"<32 hex>","dc":"jq"}: ip and port are what every member reads; startId is ours, tells
 * two runs with the same id apart, and that the member watches the slots itself; dc is ours, tells whose namespace this is.
 * Plain value, pure functions. */
#ifndef META_ZK_SERVER_INFO_H
#define META_ZK_SERVER_INFO_H

#include <stdint.h>

#include "shared/base/addr.h"

#define SERVER_START_ID_MAX 40
#define SERVER_DC_MAX       129
#define SERVER_TEXT_MAX     512
#define SERVER_ID_MAX       INT32_MAX

struct server_info {
    int64_t id;                         /* 1..SERVER_ID_MAX; 0: nobody */
    struct addr addr;                   /* none when the registration cannot be read */
    char start_id[SERVER_START_ID_MAX]; /* "" for members that do not send one */
    char dc[SERVER_DC_MAX];             /* lower case; "" the same */
};

/* XP_INVALID when ip or port are missing or wrong; unknown fields are ignored. */
int server_info_parse(int64_t id, const char *json, size_t length, struct server_info *ret_info,
                      struct xp_err *err) XP_MUST_CHECK;
/* Writes the JSON into buf (SERVER_TEXT_MAX bytes) and returns buf. */
const char *server_info_text(const struct server_info *info, char *buf);
bool server_info_eq(const struct server_info *a, const struct server_info *b);
/* Reads ZooKeeper's node name; false for anything that is not a server id. */
bool server_id_parse(const char *name, int64_t *ret_id);
/* 32 random hex digits into buf (SERVER_START_ID_MAX bytes). */
void server_start_id_make(char *buf);

#endif
