/* keeper_file.h - what of a keeper survives its process: state, run id, whether it had data.
 *
 * The data itself does not (redis.conf says save "" and appendonly no): a restarted stand-in synchronizes anew. Written to a
 * temporary file and renamed. Thread: main. */
#ifndef TESTS_FAKES_KEEPER_MODULE_KEEPER_FILE_H
#define TESTS_FAKES_KEEPER_MODULE_KEEPER_FILE_H

#include <stdbool.h>

/* Writes keeper.state and keeper.has_data; logs a failure. */
void keeper_file_save(void);
/* Reads them; ACTIVE becomes PRE_ACTIVE, BACKUP becomes PRE_BACKUP, without data it is UNKNOWN. A missing file, or one of
 * another run id, is a new keeper. False: the file is not readable. */
bool keeper_file_load(void);

#endif
