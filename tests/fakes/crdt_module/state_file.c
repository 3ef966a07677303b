/* state_file.c - see state_file.h. */
#include "tests/fakes/crdt_module/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fakes/crdt_module/feed.h"
#include "tests/fakes/crdt_module/peer_table.h"

#include "shared/base/banned.h"

enum { LINE_MAX_BYTES = 8192 };

static void write_peer(FILE *f, int gid, const struct peer_words *w)
{
    (void)fprintf(f, "peerof %d %s %d", gid, w->host, w->port);
    if (w->proxied) {
        char list[LINE_MAX_BYTES];
        words_servers_text(w, list, sizeof list);
        (void)fprintf(f, " proxy-type XPIPE-PROXY proxy-servers %s", list);
        if (w->has_params) {
            (void)fprintf(f, " proxy-params '%s'", w->params);
        }
    }
    (void)fputc('\n', f);
}

static int write_all(FILE *f)
{
    int gid = 0;

    (void)fprintf(f, "crdt-gid %s %d\n", standin.set.ns, standin.set.gid);
    (void)fprintf(f, "local-clock %lld\n", (long long)feed_clock());
    for (int i = 0;; i++) {
        const struct peer *p = peer_nth(i, &gid);
        if (!p) {
            break;
        }
        write_peer(f, gid, &p->words);
    }
    (void)fprintf(f, "crdt-offline-gid 0\n");
    return fflush(f) != 0 || ferror(f) ? errno : 0;
}

int state_file_save(void)
{
    char temp[sizeof standin.set.state_file + 8];
    FILE *f;
    int error;

    if (standin.set.state_file[0] == '\0') {
        return 0;
    }
    (void)snprintf(temp, sizeof temp, "%s.tmp", standin.set.state_file);
    f = fopen(temp, "we");
    if (!f) {
        return errno;
    }
    error = write_all(f);
    if (fclose(f) != 0 && !error) {
        error = errno;
    }
    if (!error && rename(temp, standin.set.state_file) != 0) {
        error = errno;
    }
    if (error) {
        unlink(temp);
    }
    return error;
}

static bool parse_proxy(char *text, struct peer_words *w)
{
    char *params = strstr(text, " proxy-params '");
    char *list = strstr(text, "proxy-servers ");

    if (!list) {
        return true;
    }
    if (params) {
        char *last = strrchr(params, '\'');
        *params = '\0';
        params += strlen(" proxy-params '");
        if (last < params ||
            !text_copy(w->params, sizeof w->params, params, (size_t)(last - params))) {
            return false;
        }
        w->has_params = true;
    }
    w->proxied = true;
    return words_parse_servers(list + strlen("proxy-servers "), w);
}

/* "peerof 2 127.0.0.1 17002[ proxy words]" */
static bool parse_peer(char *line)
{
    struct peer_words w = { .backstream = NO_BACKSTREAM };
    char *host = NULL;
    char *rest = NULL;
    long gid = strtol(line + strlen("peerof "), &host, 10);
    size_t len;

    line[strcspn(line, "\n")] = '\0';
    host += *host == ' ';
    len = strcspn(host, " ");
    if (gid < 1 || !peer_get((int)gid) || host[len] == '\0' ||
        !text_copy(w.host, sizeof w.host, host, len)) {
        return false;
    }
    w.port = (int)strtol(host + len, &rest, 10);
    if (rest == host + len || !parse_proxy(rest, &w)) {
        return false;
    }
    peer_store((int)gid, &w);
    peer_get((int)gid)->lazy_until_ms = now_mono_ms() + standin.set.lazy_ms;
    peer_get((int)gid)->asks_clock = true;
    return true;
}

bool state_file_load(bool *ret_restarted)
{
    char line[LINE_MAX_BYTES];
    FILE *f = standin.set.state_file[0] ? fopen(standin.set.state_file, "re") : NULL;
    bool ok = true;

    *ret_restarted = f != NULL;
    if (!f) {
        return standin.set.state_file[0] == '\0' || errno == ENOENT;
    }
    while (ok && fgets(line, sizeof line, f)) {
        if (strncmp(line, "peerof ", 7) == 0 && !parse_peer(line)) {
            RM_Log(NULL, "warning", "standin: bad line in %s: %s", standin.set.state_file, line);
            ok = false;
        }
    }
    (void)fclose(f);
    return ok;
}
