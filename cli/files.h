/* Files that are read whole. */
#ifndef CLI_FILES_H
#define CLI_FILES_H
#include "cli/options.h"

/* At most cap bytes of a file; -1 and *n, or an exit code: what is wrong has been said, with `option` ("--key ", or "") in front of the name. */
int read_file(const command *c, const char *option, const char *file, uint8_t *out, size_t cap, size_t *n);

#endif
