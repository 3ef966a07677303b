/* notify_turn.c - see notify_turn.h. */
#include "console/notify/notify_turn.h"

#include <string.h>

#include "console/catalog/dcs.h"
#include "console/catalog/snapshot.h"
#include "console/documents/document.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"
#include "shared/base/banned.h"

void push_item_done(struct push_item *item)
{
    free(item->dc);
    free(item->cluster);
    free(item->body);
    *item = (struct push_item){ 0 };
}

static void lanes_done(struct notify_turn *turn)
{
    for (size_t i = 0; i < turn->lane_count; i++) {
        for (size_t b = 0; b < turn->lanes[i].busy_count; b++) {
            free(turn->lanes[i].busy[b].cluster);
        }
        free(turn->lanes[i].busy);
        free(turn->lanes[i].dc);
    }
    free(turn->lanes);
}

void notify_turn_done(struct notify_turn *turn)
{
    for (size_t i = 0; i < turn->ack_count; i++) {
        free(turn->acks[i].cluster_name);
    }
    free(turn->acks);
    lanes_done(turn);
    for (size_t i = 0; i < turn->item_count; i++) {
        push_item_done(&turn->items[i]);
    }
    free(turn->items);
    for (size_t i = 0; i < turn->dc_count; i++) {
        free(turn->dcs[i].name);
    }
    free(turn->dcs);
    *turn = (struct notify_turn){ 0 };
}

static bool is_busy(const struct turn_lane *lane, const struct outbox_row *row, bool *ret_has_newer)
{
    for (size_t i = 0; i < lane->busy_count; i++) {
        const struct busy_row *b = &lane->busy[i];
        if (text_eq(b->cluster, row->cluster_name)) {
            bool is_newer = row->idx > b->idx;
            *ret_has_newer |= is_newer && !b->unless_newer;
            return !(is_newer && b->unless_newer);
        }
    }
    return false;
}

static bool is_pushed(const struct notify_turn *turn, enum cluster_type type)
{
    return turn->types == 0 || (turn->types & TYPE_BIT(type)) != 0;
}

/* Without a type it had another one before, and perhaps one that is pushed: the present state decides (prepare). */
static bool is_wanted(const struct notify_turn *turn, const struct outbox_row *row)
{
    return row->cluster_name[0] == '\0' || row->cluster_type[0] == '\0' ||
           is_pushed(turn, cluster_type_from_text(row->cluster_type));
}

/* The present state of the cluster, NULL when its type is not pushed; XP_NOT_FOUND when the DC has it no longer: then a newer
 * row says so. */
static int build_body(const struct notify_turn *turn, const struct outbox_row *row, char **ret_body,
                      struct xp_err *err)
{
    struct dc_snapshot *snap = NULL;
    int rc = catalog_cluster_snapshot(turn->catalog, row->dc_name, row->cluster_name, &snap, err);
    if (rc < 0) {
        return rc;
    }
    if (is_pushed(turn, snap->clusters[0].type)) {
        json_auto_t *json = document_cluster(snap, &snap->clusters[0]);
        *ret_body = json_dumps(json, JSON_COMPACT);
        xp_check(*ret_body != NULL);
    }
    dc_snapshot_free(snap);
    return 0;
}

static char *refresh_body(const struct outbox_row *row)
{
    json_auto_t *json =
        json_pack("{s:o, s:I}", "dc", jd_text(row->dc_name), "version", (json_int_t)row->idx);
    return json_dumps(json, JSON_COMPACT);
}

static int prepare(const struct notify_turn *turn, const struct outbox_row *row,
                   struct push_item *item, struct xp_err *err)
{
    char *body = NULL;
    enum push_kind kind = PUSH_DELETED;
    if (row->cluster_name[0] == '\0') {
        kind = PUSH_REFRESH;
        body = refresh_body(row);
    } else if (!row->is_deleted) {
        int rc = build_body(turn, row, &body, err);
        if (rc < 0) {
            return rc;
        }
        /* what its metaservers do not serve is gone for them */
        kind = body ? PUSH_CHANGED : PUSH_DELETED;
    }
    *item = (struct push_item){ .kind = kind,
                                .dc_id = row->dc_id,
                                .dc = xstrdup(row->dc_name),
                                .cluster = xstrdup(row->cluster_name),
                                .idx = row->idx,
                                .body = body };
    return 0;
}

/* Chooses from one DC's rows, oldest first. Rows that need no push are acknowledged here, in one transaction: a bulk load
 * of clusters whose type is not pushed must not pay a commit for each. */
static int choose(struct notify_turn *turn, const struct turn_lane *lane,
                  const struct outbox_rows *rows, struct xp_err *err)
{
    int room = lane->room;
    struct outbox_row *needless AUTO_FREE = xcalloc(rows->count + 1, sizeof(*needless));
    size_t needless_count = 0;
    for (size_t i = 0; i < rows->count && room > 0; i++) {
        const struct outbox_row *row = &rows->items[i];
        if (is_busy(lane, row, &turn->has_newer)) {
            continue;
        }
        int rc = XP_NOT_FOUND;
        if (is_wanted(turn, row)) {
            turn->items = xrealloc(turn->items, turn->item_count + 1, sizeof(*turn->items));
            rc = prepare(turn, row, &turn->items[turn->item_count], err);
        }
        if (rc == 0) {
            turn->item_count++;
            room--;
        } else if (rc == XP_NOT_FOUND) {
            needless[needless_count++] = *row; /* texts borrowed */
        } else {
            return rc;
        }
    }
    return needless_count > 0 ? outbox_ack(turn->catalog->store, needless, needless_count, err) : 0;
}

static bool is_refresh_chosen(const struct notify_turn *turn, int64_t dc_id)
{
    for (size_t i = 0; i < turn->item_count; i++) {
        if (turn->items[i].dc_id == dc_id && turn->items[i].kind == PUSH_REFRESH) {
            return true;
        }
    }
    return false;
}

/* Not from the outbox: what the settings changed. Beside the room, once in a while. */
static int add_refresh(struct notify_turn *turn, const struct turn_lane *lane, struct xp_err *err)
{
    struct outbox_row row = { .dc_id = lane->dc_id,
                              .dc_name = lane->dc,
                              .cluster_name = (char[]){ "" },
                              .idx = lane->refresh_idx };
    bool is_newer_known = false;
    if (is_busy(lane, &row, &is_newer_known) || is_refresh_chosen(turn, lane->dc_id)) {
        return 0;
    }
    turn->items = xrealloc(turn->items, turn->item_count + 1, sizeof(*turn->items));
    return prepare(turn, &row, &turn->items[turn->item_count++], err);
}

static int look_at_lane(struct notify_turn *turn, const struct turn_lane *lane, struct xp_err *err)
{
    if (lane->room <= 0) {
        return 0;
    }
    struct outbox_rows rows = { 0 };
    int rc = outbox_list(turn->catalog->store, lane->dc_id, TURN_SCAN_ROWS, &rows, err);
    if (rc == 0) {
        rc = choose(turn, lane, &rows, err);
        outbox_rows_done(&rows);
    }
    if (rc == 0 && lane->refresh_idx > 0) {
        rc = add_refresh(turn, lane, err);
    }
    return rc;
}

static int list_dcs(struct notify_turn *turn, struct xp_err *err)
{
    struct dc_rows rows;
    int rc = dcs_list(turn->catalog, &rows, err);
    if (rc < 0) {
        return rc;
    }
    turn->dcs = xcalloc(rows.count + 1, sizeof(*turn->dcs));
    turn->dc_count = rows.count;
    for (size_t i = 0; i < rows.count; i++) {
        turn->dcs[i] =
            (struct turn_dc){ .id = rows.items[i].id, .name = xstrdup(rows.items[i].name) };
    }
    dcs_done(&rows);
    return 0;
}

void notify_turn_run(struct notify_turn *turn)
{
    struct store *store = turn->catalog->store;
    turn->store_version = store_version(store);
    if (turn->ack_count > 0) {
        turn->rc = outbox_ack(store, turn->acks, turn->ack_count, &turn->err);
        turn->acked = turn->rc == 0;
    }
    if (turn->rc == 0) {
        turn->rc = list_dcs(turn, &turn->err);
    }
    for (size_t i = 0; i < turn->lane_count && turn->rc == 0; i++) {
        turn->rc = look_at_lane(turn, &turn->lanes[i], &turn->err);
    }
    if (turn->rc == 0) {
        turn->rc = outbox_count(store, &turn->waiting_count, &turn->err);
    }
}
