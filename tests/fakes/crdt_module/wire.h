/* wire.h - a blocking connection of a link thread: connect, write, read lines and RESP values,
 * each with a deadline.
 *
 * Owner: one link thread. The main thread may shut the socket down; every call then fails. No
 * server lock is held here. */
#ifndef TESTS_FAKES_CRDT_MODULE_WIRE_H
#define TESTS_FAKES_CRDT_MODULE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
    int fd;
    size_t start;
    size_t end;
    char buffer[16 * 1024];
};

/* Connects to a numeric address or a name within timeout_ms. Returns the socket, or -1. */
int wire_connect(const char *host, int port, int64_t timeout_ms);
void wire_init(struct wire *w, int fd);
bool wire_write(struct wire *w, const char *data, size_t len, int64_t timeout_ms);
/* One line without CR LF, cut to size-1. False: closed, timed out, or longer than the buffer. */
bool wire_line(struct wire *w, char *out, size_t size, int64_t timeout_ms);
/* "*N" or ":N" with the given first character. */
bool wire_number(struct wire *w, char kind, int64_t *ret, int64_t timeout_ms);
/* A bulk string of at most max bytes: returns owned (free), NULL on failure. */
char *wire_bulk(struct wire *w, size_t max, size_t *ret_len, int64_t timeout_ms);

#endif
